/**
 * The examples in Markdown and JSDoc compile, and those that run give what they say. They are
 * written to `.ashlar/examples/`, type-checked there, and run by vitest in an empty folder each.
 *
 * @module
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { examplesOf, filesUnder, packagesOf } from "../workspace.ts"
import { type Block, blocksOf, moduleOf } from "./blocks.ts"
import type { Problem, Step } from "./problem.ts"
import { execute } from "./tool.ts"

const tsconfig = {
  extends: "../../tsconfig.test.json",
  compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, incremental: false },
  include: ["*.ts"],
  exclude: [],
}

/** Every file of the tree that may hold examples. */
const documents = (tree: string): ReadonlyArray<string> => [
  ...filesUnder(join(tree, "docs"), ".md"),
  ...[...packagesOf(tree), ...examplesOf(tree), { folder: tree }].flatMap(({ folder }) =>
    filesUnder(folder, "README.md").filter((file) => dirname(file) === folder),
  ),
  ...packagesOf(tree).flatMap(({ folder }) => filesUnder(join(folder, "src"), ".ts")),
]

/** `packages/core/src/Id.ts` at line 12 becomes `packages-core-src-Id.ts-12.ts`. */
const nameOf = (tree: string, { file, line }: Block): string =>
  `${relative(tree, file).replaceAll(/[\\/]/g, "-")}-${line}.ts`

/** The test file that imports the examples which run. */
const runnerOf = (tree: string, blocks: ReadonlyArray<Block>): string => {
  const tests = blocks.map((block) => {
    const title = JSON.stringify(`${relative(tree, block.file)}:${block.line}`)
    return `it(${title}, async () => { await inEmptyFolder(() => import("./${nameOf(tree, block)}")) })`
  })
  return `import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "vitest"

const inEmptyFolder = async (run: () => Promise<unknown>) => {
  const before = process.cwd()
  const folder = mkdtempSync(join(tmpdir(), "ashlar-example-"))
  process.chdir(folder)
  try { await run() } finally { process.chdir(before); rmSync(folder, { recursive: true, force: true }) }
}

${tests.join("\n")}
`
}

/** Writes the examples of the tree to a folder inside it. */
export const writeExamples = (
  tree: string,
  files: ReadonlyArray<string> = documents(tree),
): { readonly folder: string; readonly blocks: ReadonlyArray<Block> } => {
  const folder = join(tree, ".ashlar/examples")
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const blocks = files.flatMap((file) => blocksOf(file, readFileSync(file, "utf8")))
  for (const block of blocks) writeFileSync(join(folder, nameOf(tree, block)), moduleOf(block).code)
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig, null, 2))
  const groups = Map.groupBy(
    blocks.filter(({ run }) => run),
    ({ file }) => dirname(relative(tree, file)),
  )
  for (const [group, members] of groups) {
    writeFileSync(
      join(folder, `${group.replaceAll(/[\\/]/g, "-").replace(".", "root")}.test.ts`),
      runnerOf(tree, members),
    )
  }
  return { folder, blocks }
}

/** A tool's output, with each generated file named by the document it comes from. */
const inDocuments = (tree: string, blocks: ReadonlyArray<Block>, output: string): string =>
  blocks.reduce(
    (text, block) =>
      text.replaceAll(
        nameOf(tree, block),
        `(${relative(tree, block.file)} example at line ${block.line})`,
      ),
    output,
  )

/** The step `examples`. */
export const step: Step = {
  name: "examples",
  about: "the examples in Markdown and JSDoc compile and run",
  run: async (tree): Promise<ReadonlyArray<Problem>> => {
    const { folder, blocks } = writeExamples(tree)
    if (blocks.length === 0) return []
    const tool = (script: string, args: ReadonlyArray<string>) =>
      execute(process.execPath, [join(tree, "node_modules", script), ...args], {
        cwd: tree,
        env: { ASHLAR_SUITE: "examples" },
      })
    const compiled = await tool("typescript/bin/tsc", ["-p", folder])
    if (compiled.code !== 0) {
      return [
        { file: folder, message: `do not compile:\n${inDocuments(tree, blocks, compiled.output)}` },
      ]
    }
    const report = join(tree, ".ashlar/reports", "examples.json")
    const ran = await tool("vitest/vitest.mjs", [
      "run",
      "--reporter=dot",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ])
    if (ran.code !== 0) {
      return [
        { file: basename(folder), message: `fail:\n${inDocuments(tree, blocks, ran.output)}` },
      ]
    }
    console.log(
      `     ${blocks.length} examples, ${blocks.filter(({ run }) => run).length} of them run`,
    )
    return []
  },
}
