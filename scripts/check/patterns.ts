/**
 * Forms the code does without: default exports, enums, namespaces, `any`, silenced compiler
 * errors, focused or unconditionally skipped tests, and notes about work left undone.
 *
 * @module
 */
import { join } from "node:path"
import * as ts from "typescript-6"
import { filesUnder } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { lineOf, parse, walk } from "./source.ts"

const hasModifier = (node: ts.Node, kind: ts.SyntaxKind): boolean =>
  ts.canHaveModifiers(node) &&
  (ts.getModifiers(node) ?? []).some((modifier) => modifier.kind === kind)

/** Tools that read their configuration from a default export. */
const isConfiguration = (file: string): boolean => file.endsWith(".config.ts")

const testCalls = new Set(["it", "test", "describe", "suite", "bench"])

/** The message for a node that is one of the forms, otherwise undefined. */
const objection = (file: string, node: ts.Node): string | undefined => {
  if (ts.isExportAssignment(node) || hasModifier(node, ts.SyntaxKind.DefaultKeyword)) {
    return isConfiguration(file) ? undefined : "default export: export it by name"
  }
  if (ts.isEnumDeclaration(node)) return "enum: use a union of literals"
  if (
    ts.isModuleDeclaration(node) &&
    !ts.isStringLiteral(node.name) &&
    !hasModifier(node, ts.SyntaxKind.DeclareKeyword)
  ) {
    return "namespace: use a module"
  }
  if (node.kind === ts.SyntaxKind.AnyKeyword) return "any: use unknown and decode it"
  if (
    ts.isPropertyAccessExpression(node) &&
    ts.isIdentifier(node.expression) &&
    testCalls.has(node.expression.text)
  ) {
    if (node.name.text === "only") return "focused test: it hides the others"
    if (node.name.text === "skip" || node.name.text === "todo") {
      return `${node.name.text}: use skipIf with the condition, or leave the test out`
    }
  }
  return undefined
}

// Assembled, so that this file does not object to itself.
const unfinished = new RegExp(
  `\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`,
)
const silenced = new RegExp(`@ts-${"(ignore|nocheck)"}\\b`)

/** Every occurrence of such a form in the tree. */
export const patterns = (tree: string): ReadonlyArray<Problem> =>
  ["packages", "examples", "scripts"]
    .flatMap((folder) => filesUnder(join(tree, folder), ".ts", ".tsx"))
    .filter((file) => !file.includes("/kernel/"))
    .flatMap((file) => {
      const source = parse(file)
      const found: Array<Problem> = []
      walk(source, (node) => {
        const message = objection(file, node)
        if (message !== undefined) found.push({ file, line: lineOf(source, node), message })
      })
      source.text.split("\n").forEach((text, index) => {
        if (unfinished.test(text))
          found.push({ file, line: index + 1, message: "unfinished: do it, or open an issue" })
        if (silenced.test(text))
          found.push({ file, line: index + 1, message: "silenced compiler error: mend the types" })
      })
      return found
    })

/** The step `patterns`. */
export const step: Step = {
  name: "patterns",
  about: "no forms the code does without",
  run: patterns,
}
