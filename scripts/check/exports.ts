/**
 * The public face of every package: each subpath has the three conditions and a source, the index
 * only names modules, and everything a user can import is documented.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import * as ts from "typescript-6"
import { kernelsOf } from "../kernels.ts"
import { type Member, packagesOf } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { lineOf, parse } from "./source.ts"

const conditions = ["@ashlar/source", "types", "default"]

/** `./src/redis.ts` is published as `./dist/redis.d.ts` and `./dist/redis.js`. */
const published = (source: string): ReadonlyArray<string> => {
  const stem = source.replace(/^\.\/src\//, "./dist/").replace(/\.ts$/, "")
  return [source, `${stem}.d.ts`, `${stem}.js`]
}

const shapeProblems = ({ folder, manifest }: Member): ReadonlyArray<Problem> => {
  const file = join(folder, "package.json")
  return Object.entries(manifest.exports ?? {}).flatMap(([subpath, target]) => {
    if (typeof target === "string") {
      // Assets (`"./ui/*": …`) and the manifest are single targets.
      return subpath === "."
        ? [{ file, message: `exports["."] needs the conditions ${conditions.join(", ")}` }]
        : []
    }
    const source = target["@ashlar/source"]
    if (source === undefined || Object.keys(target).join() !== conditions.join()) {
      return [
        {
          file,
          message: `exports["${subpath}"] needs the conditions ${conditions.join(", ")}, in this order`,
        },
      ]
    }
    const wrong = Object.values(target).some((value, index) => value !== published(source)[index])
    return [
      ...(existsSync(join(folder, source))
        ? []
        : [{ file, message: `exports["${subpath}"]: ${source} does not exist` }]),
      ...(wrong
        ? [{ file, message: `exports["${subpath}"] should be ${published(source).join(", ")}` }]
        : []),
      ...(subpath.includes("internal") || subpath.includes("*")
        ? [{ file, message: `exports["${subpath}"]: internal files and patterns are not exported` }]
        : []),
    ]
  })
}

const isExported = (node: ts.Node): boolean =>
  ts.canHaveModifiers(node) &&
  (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)

const hasDoc = (node: ts.Node): boolean => ts.getJSDocCommentsAndTags(node).some(ts.isJSDoc)

/** The declared names of a statement. */
const namesOf = (node: ts.Statement): ReadonlyArray<string> => {
  if (ts.isVariableStatement(node)) {
    return node.declarationList.declarations.map(({ name }) => name.getText())
  }
  const named =
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node)
  return named && node.name !== undefined ? [node.name.text] : []
}

/**
 * Names exported by a file without JSDoc, and the files whose exports it passes on. `only` limits
 * the question to some names. A type or an overload with the name of a documented value is
 * documented by it.
 */
const undocumentedIn = (
  file: string,
  only: ReadonlySet<string> | undefined,
  seen: Set<string>,
): ReadonlyArray<Problem> => {
  const key = `${file} ${only === undefined ? "" : [...only].toSorted().join()}`
  if (seen.has(key) || !existsSync(file)) return []
  seen.add(key)
  const source = parse(file)
  const locals = new Map<string, Array<ts.Statement>>()
  for (const statement of source.statements) {
    for (const name of namesOf(statement))
      locals.set(name, [...(locals.get(name) ?? []), statement])
  }
  const problems: Array<Problem> = []
  const require = (name: string): void => {
    const statements = locals.get(name) ?? []
    const [statement] = statements
    if (statement === undefined || statements.some(hasDoc)) return
    problems.push({
      file,
      line: lineOf(source, statement),
      message: `${name} is exported and has no JSDoc`,
    })
  }
  for (const [name, statements] of locals) {
    if (statements.some(isExported) && (only?.has(name) ?? true)) require(name)
  }
  for (const statement of source.statements) {
    if (!ts.isExportDeclaration(statement)) continue
    const clause = statement.exportClause
    const target = statement.moduleSpecifier
    const next =
      target !== undefined && ts.isStringLiteral(target) && target.text.startsWith(".")
        ? join(dirname(file), target.text)
        : undefined
    if (clause === undefined || ts.isNamespaceExport(clause)) {
      if (next !== undefined)
        problems.push(...undocumentedIn(next, clause === undefined ? only : undefined, seen))
      continue
    }
    const names = clause.elements
      .filter((element) => only?.has(element.name.text) ?? true)
      .map((element) => (element.propertyName ?? element.name).text)
    if (next !== undefined) problems.push(...undocumentedIn(next, new Set(names), seen))
    else if (target === undefined) names.forEach(require)
  }
  return problems
}

const indexProblems = ({ folder }: Member): ReadonlyArray<Problem> => {
  const file = join(folder, "src/index.ts")
  if (!existsSync(file)) return [{ file, message: "is missing: a package has an index" }]
  const source = parse(file)
  return source.statements
    .filter(
      (node) =>
        !(
          ts.isExportDeclaration(node) &&
          node.exportClause !== undefined &&
          ts.isNamespaceExport(node.exportClause)
        ),
    )
    .map((node) => ({
      file,
      line: lineOf(source, node),
      message: `an index holds only export * as Noun from "./Noun.ts"`,
    }))
}

/** Kernels are built, ignored by git, and published. */
const kernelProblems = ({ folder, manifest }: Member): ReadonlyArray<Problem> =>
  kernelsOf(folder)
    .filter(({ out }) => !(manifest.files ?? []).includes(out.split("/")[0] ?? out))
    .map(({ out }) => ({
      file: join(folder, "package.json"),
      message: `files leaves out ${out}: add its folder`,
    }))

/** Everything wrong with the packages' public faces. */
export const exports = (tree: string): ReadonlyArray<Problem> =>
  packagesOf(tree).flatMap((member) => {
    const seen = new Set<string>()
    const entries = Object.values(member.manifest.exports ?? {}).flatMap((target) => {
      const source = typeof target === "string" ? undefined : target["@ashlar/source"]
      return source === undefined ? [] : [source]
    })
    return [
      ...shapeProblems(member),
      ...indexProblems(member),
      ...kernelProblems(member),
      ...entries.flatMap((entry) => undocumentedIn(join(member.folder, entry), undefined, seen)),
    ]
  })

/** The step `exports`. */
export const step: Step = {
  name: "exports",
  about: "subpaths are whole, every public export is documented",
  run: exports,
}
