/**
 * The examples in documentation: every ```` ```ts ```` block of a Markdown file or a JSDoc comment
 * becomes a module, in which `expr // => value` is an assertion of deep equality.
 * ```` ```ts no-run ```` is compiled and not run.
 *
 * @module
 */
import * as ts from "typescript-6"
import { parse } from "./source.ts"

/** One example: where it stands and what it says. */
export interface Block {
  readonly file: string
  /** Line of the opening fence, 1-based. */
  readonly line: number
  readonly code: string
  readonly run: boolean
}

const fence = /^(\s*)```(\S*)[ \t]*(.*)$/

/** The blocks among some lines, the first of which has number `from`. */
const blocksIn = (
  file: string,
  lines: ReadonlyArray<string>,
  from: number,
): ReadonlyArray<Block> => {
  const found: Array<Block> = []
  let open: { readonly line: number; readonly language: string; readonly info: string } | undefined
  let code: Array<string> = []
  lines.forEach((text, index) => {
    const match = fence.exec(text)
    if (match === null) {
      if (open !== undefined) code.push(text)
    } else if (open === undefined) {
      open = { line: from + index, language: match[2] ?? "", info: match[3] ?? "" }
      code = []
    } else {
      if (open.language === "ts" || open.language === "typescript") {
        const run = !open.info.split(/\s+/).includes("no-run")
        found.push({ file, line: open.line, code: `${code.join("\n")}\n`, run })
      }
      open = undefined
    }
  })
  return found
}

const inJsDoc = (file: string, text: string): ReadonlyArray<Block> =>
  [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap((match) => {
    const first = text.slice(0, match.index).split("\n").length
    const lines = match[0].split("\n").map((line) => line.replace(/^\s*\*(?!\/) ?/, ""))
    return blocksIn(file, lines, first)
  })

/** The examples of a file: all of Markdown, only the JSDoc comments of TypeScript. */
export const blocksOf = (file: string, text: string): ReadonlyArray<Block> =>
  file.endsWith(".md") ? blocksIn(file, text.split("\n"), 1) : inJsDoc(file, text)

const expectation = /^\s*\/\/ => ?(.*)$/

/** The value after `// =>` on the line where a statement ends, or on the next one. */
const expectedAfter = (
  lines: ReadonlyArray<string>,
  endLine: number,
  endColumn: number,
): string | undefined => {
  const sameLine = expectation.exec((lines[endLine] ?? "").slice(endColumn).replace(/^;/, ""))
  const nextLine = expectation.exec(lines[endLine + 1] ?? "")
  return (sameLine ?? nextLine)?.[1]?.trim()
}

/** Where the assertion about a statement goes and what it compares. */
const subjectOf = (
  node: ts.Statement,
): { readonly subject: string; readonly replace: boolean } | undefined => {
  if (ts.isExpressionStatement(node)) return { subject: node.expression.getText(), replace: true }
  const [declaration, ...others] = ts.isVariableStatement(node)
    ? node.declarationList.declarations
    : []
  return declaration !== undefined && others.length === 0 && ts.isIdentifier(declaration.name)
    ? { subject: declaration.name.text, replace: false }
    : undefined
}

/**
 * An example as a module: assertions instead of `// =>` comments, every line where it was.
 * `console.log(x) // => …` asserts about `x`.
 */
export const moduleOf = (block: Block): { readonly code: string; readonly assertions: number } => {
  const source = parse(`${block.file}.ts`, block.code)
  const lines = block.code.split("\n")
  const edits: Array<{ readonly start: number; readonly end: number; readonly text: string }> = []
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit)
    if (!ts.isExpressionStatement(node) && !ts.isVariableStatement(node)) return
    const at = source.getLineAndCharacterOfPosition(node.getEnd())
    const expected = expectedAfter(lines, at.line, at.character)
    const found = subjectOf(node)
    if (expected === undefined || found === undefined) return
    const logged = /^console\.log\(([\s\S]*)\)$/.exec(found.subject)?.[1]
    const assertion = `expectExample(${logged ?? found.subject}).toEqual(${expected});`
    const start = found.replace ? node.getStart(source) : node.getEnd()
    // A leading semicolon: the line before may end without one.
    edits.push({ start, end: node.getEnd(), text: `;${assertion}` })
  }
  visit(source)
  const body = edits
    .toSorted((a, b) => b.start - a.start)
    .reduce(
      (text, { start, end, text: insert }) => text.slice(0, start) + insert + text.slice(end),
      block.code,
    )
  const header = edits.length > 0 ? `import { expect as expectExample } from "vitest";` : ""
  return { code: `${header}${body}export {}\n`, assertions: edits.length }
}
