/**
 * Parsed TypeScript sources. TypeScript 7 has no compiler API, so the parser is TypeScript 6's;
 * it only reads syntax here.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as ts from "typescript-6"
import type { Member } from "../workspace.ts"

/** One module reference in a file: `import`, `export … from` or `import()`. */
export interface Reference {
  readonly specifier: string
  readonly line: number
  /** Erased at run time: `import type`, or every imported name is a type. */
  readonly typeOnly: boolean
}

/** Parses a file; `text` replaces what is on disk. */
export const parse = (file: string, text: string = readFileSync(file, "utf8")): ts.SourceFile =>
  ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true)

/** The 1-based line of a node. */
export const lineOf = (source: ts.SourceFile, node: ts.Node): number =>
  source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1

/** Visits every node of a file. */
export const walk = (node: ts.Node, visit: (node: ts.Node) => void): void => {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

const isTypeOnly = (node: ts.ImportDeclaration | ts.ExportDeclaration): boolean => {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly
  const clause = node.importClause
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const bindings = clause.namedBindings
  return (
    clause.name === undefined &&
    bindings !== undefined &&
    ts.isNamedImports(bindings) &&
    bindings.elements.length > 0 &&
    bindings.elements.every((element) => element.isTypeOnly)
  )
}

/** Every module that a file refers to. */
export const referencesOf = (source: ts.SourceFile): ReadonlyArray<Reference> => {
  const found: Array<Reference> = []
  walk(source, (node) => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      if (ts.isStringLiteral(node.moduleSpecifier)) {
        found.push({
          specifier: node.moduleSpecifier.text,
          line: lineOf(source, node),
          typeOnly: isTypeOnly(node),
        })
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [target] = node.arguments
      if (target !== undefined && ts.isStringLiteral(target)) {
        found.push({ specifier: target.text, line: lineOf(source, node), typeOnly: false })
      }
    } else if (
      ts.isImportTypeNode(node) &&
      ts.isLiteralTypeNode(node.argument) &&
      ts.isStringLiteral(node.argument.literal)
    ) {
      found.push({
        specifier: node.argument.literal.text,
        line: lineOf(source, node),
        typeOnly: true,
      })
    }
  })
  return found
}

/** The npm package of a bare specifier: `@a/b/c` is in `@a/b`. */
export const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

/** True for a specifier that names an npm package. */
export const isBare = (specifier: string): boolean =>
  !specifier.startsWith(".") && !specifier.startsWith("node:")

/** The source file behind a specifier, when it lies in this workspace. */
export const resolveLocal = (
  from: string,
  specifier: string,
  members: ReadonlyArray<Member>,
): string | undefined => {
  if (specifier.startsWith(".")) return join(dirname(from), specifier)
  const member = members.find(({ manifest }) => manifest.name === packageOf(specifier))
  if (member === undefined) return undefined
  const subpath = `.${specifier.slice(member.manifest.name.length)}`
  const entry = member.manifest.exports?.[subpath]
  const target = typeof entry === "string" ? entry : entry?.["@ashlar/source"]
  return target === undefined ? undefined : join(member.folder, target)
}
