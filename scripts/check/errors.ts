/**
 * `docs/errors.md` lists exactly the error codes in the sources. An error is a class
 * `extends Schema.TaggedError<X>()("X", Failure.fields(["ReasonA", ...]))`; its codes are
 * `X.ReasonA`, and their HTTP status comes from `statusOf` in core's `Failure.ts`.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as ts from "typescript-6"
import { filesUnder, packagesOf } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { lineOf, parse, walk } from "./source.ts"

/** An error class as declared in the sources. */
interface Declared {
  readonly tag: string
  readonly reasons: ReadonlyArray<string>
  readonly about: string
  readonly package: string
  readonly file: string
  readonly line: number
}

/** The literal elements of `fields([...])` anywhere below a node; undefined when there is none. */
const reasonsIn = (node: ts.Node): ReadonlyArray<string> | undefined => {
  let found: ReadonlyArray<string> | undefined
  walk(node, (child) => {
    if (!ts.isCallExpression(child) || !/(^|\.)fields$/.test(child.expression.getText())) return
    const [list] = child.arguments
    if (list === undefined || !ts.isArrayLiteralExpression(list)) return
    const literals = list.elements.filter(ts.isStringLiteral)
    if (literals.length === list.elements.length) found = literals.map(({ text }) => text)
  })
  return found
}

/** The first sentence of a declaration's JSDoc. */
const summaryOf = (node: ts.Node): string => {
  const [doc] = ts.getJSDocCommentsAndTags(node)
  const text = doc === undefined ? "" : (ts.getTextOfJSDocComment(doc.comment) ?? "")
  return (text.replace(/\s+/g, " ").match(/^.*?[.!?](?=\s|$)/)?.[0] ?? text).replaceAll("|", "\\|")
}

const isTaggedError = (node: ts.Node): node is ts.CallExpression =>
  ts.isCallExpression(node) &&
  ts.isCallExpression(node.expression) &&
  /(^|\.)TaggedError$/.test(node.expression.expression.getText())

const declaredIn = (
  file: string,
  owner: string,
): { readonly errors: ReadonlyArray<Declared>; readonly problems: ReadonlyArray<Problem> } => {
  const source = parse(file)
  const errors: Array<Declared> = []
  const problems: Array<Problem> = []
  walk(source, (node) => {
    if (!ts.isClassDeclaration(node)) return
    const call = node.heritageClauses
      ?.flatMap((clause) => clause.types.map((type) => type.expression))
      .find(isTaggedError)
    if (call === undefined) return
    const line = lineOf(source, node)
    const [tag, shape] = call.arguments
    if (tag === undefined || !ts.isStringLiteral(tag) || tag.text !== node.name?.text) {
      problems.push({ file, line, message: "an error's tag is the name of its class" })
      return
    }
    const reasons = shape === undefined ? undefined : reasonsIn(shape)
    if (reasons === undefined) {
      problems.push({
        file,
        line,
        message: `${tag.text}: write its reasons as Failure.fields(["…"])`,
      })
      return
    }
    errors.push({ tag: tag.text, reasons, about: summaryOf(node), package: owner, file, line })
  })
  return { errors, problems }
}

/** The HTTP status by reason, read from `statusOf` in core's `Failure.ts`. */
const statuses = (tree: string): ReadonlyMap<string, string> => {
  const file = join(tree, "packages/core/src/Failure.ts")
  const found = new Map<string, string>()
  if (!existsSync(file)) return found
  walk(parse(file), (node) => {
    if (!ts.isVariableDeclaration(node) || node.name.getText() !== "statusOf") return
    walk(node, (child) => {
      if (ts.isPropertyAssignment(child) && ts.isNumericLiteral(child.initializer)) {
        found.set(child.name.getText(), child.initializer.text)
      }
    })
  })
  return found
}

const header = `# Errors

Every error of Ashlar is a tagged class with a \`reason\`, a \`message\` that says what to do, and a
stable \`code\`: its tag and reason. Over HTTP the code is in the body and the reason decides the
status. This table is generated from the sources: \`npm run check -- errors --fix\` writes it.
`

const tableOf = (tree: string, errors: ReadonlyArray<Declared>): string => {
  const status = statuses(tree)
  const sections = [...new Set(errors.map((error) => error.package))].toSorted().map((owner) => {
    const rows = errors
      .filter((error) => error.package === owner)
      .toSorted((a, b) => (a.tag < b.tag ? -1 : 1))
      .flatMap(({ tag, reasons, about }) =>
        reasons
          .toSorted()
          .map((reason) => `| \`${tag}.${reason}\` | ${status.get(reason) ?? "?"} | ${about} |`),
      )
    return `\n## ${owner}\n\n| code | HTTP status | what failed |\n| --- | --- | --- |\n${rows.join("\n")}\n`
  })
  return `${header}${sections.join("")}`
}

/** Errors declared in another way, used twice, with an unknown reason, or not as documented. */
export const errors = (
  tree: string,
  options: { readonly fix: boolean },
): ReadonlyArray<Problem> => {
  const parsed = packagesOf(tree).flatMap(({ folder, manifest }) =>
    filesUnder(join(folder, "src"), ".ts").map((file) => declaredIn(file, manifest.name)),
  )
  const declared = parsed.flatMap(({ errors: found }) => found)
  const problems = parsed.flatMap(({ problems: found }) => found)
  const status = statuses(tree)
  const first = new Map<string, Declared>()
  for (const error of declared) {
    const { tag, reasons, file, line } = error
    const earlier = first.get(tag)
    if (earlier !== undefined) {
      problems.push({
        file,
        line,
        message: `${tag} is declared in ${earlier.package} too: codes are unique`,
      })
    }
    first.set(tag, error)
    for (const reason of reasons.filter((name) => !status.has(name))) {
      problems.push({
        file,
        line,
        message: `${tag}.${reason}: ${reason} is not in Failure.statusOf`,
      })
    }
  }
  const file = join(tree, "docs/errors.md")
  const table = tableOf(tree, declared)
  if (options.fix) {
    mkdirSync(join(tree, "docs"), { recursive: true })
    writeFileSync(file, table)
  } else if (!existsSync(file) || readFileSync(file, "utf8") !== table) {
    problems.push({
      file,
      message: "differs from the errors in the sources: npm run check -- errors --fix",
    })
  }
  return problems
}

/** The step `errors`. */
export const step: Step = { name: "errors", about: "docs/errors.md equals the code", run: errors }
