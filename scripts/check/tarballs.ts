/**
 * The packages as users get them. `packages`: publint and attw find nothing. `tarballs`: installed
 * outside the workspace, every subpath loads, the root without any optional peer, and the types
 * hold under TypeScript 5.9, 6 and 7 with both module resolutions.
 *
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { installInto, outside, packInto, type Tarball } from "../pack.ts"
import type { Member } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { execute } from "./tool.ts"

/** Packed once per run, for both steps. */
const packed = new Map<string, Promise<ReadonlyArray<Tarball>>>()
const tarballsOf = (tree: string): Promise<ReadonlyArray<Tarball>> => {
  const known = packed.get(tree)
  if (known !== undefined) return known
  const pending = packInto(tree, join(tree, ".ashlar/tarballs"))
  packed.set(tree, pending)
  return pending
}

const lint = async ({ member, file }: Tarball): Promise<ReadonlyArray<Problem>> => {
  const bytes = readFileSync(file)
  const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  const { messages, pkg } = await publint({
    strict: true,
    pack: { tarball },
  })
  return messages.map((message) => ({
    file: join(member.folder, "package.json"),
    message: `publint: ${formatMessage(message, pkg, { color: false }) ?? message.code}`,
  }))
}

const attw = async (tree: string, { member, file }: Tarball): Promise<ReadonlyArray<Problem>> => {
  const script = join(tree, "node_modules/@arethetypeswrong/cli/dist/index.js")
  const args = [file, "--profile", "esm-only", "--no-emoji", "--no-color", "--format", "ascii"]
  const { code, output } = await execute(process.execPath, [script, ...args], {
    cwd: tree,
    env: outside,
  })
  return code === 0
    ? []
    : [{ file: join(member.folder, "package.json"), message: `attw:\n${output}` }]
}

/** The step `packages`. */
export const packages: Step = {
  name: "packages",
  about: "publint --strict and attw on every tarball",
  run: async (tree) => {
    const problems: Array<Problem> = []
    for (const tarball of await tarballsOf(tree)) {
      for (const name of ["LICENSE", "README.md"]) {
        if (existsSync(join(tarball.member.folder, name))) continue
        problems.push({ file: tarball.member.folder, message: `has no ${name} to publish` })
      }
      problems.push(...(await lint(tarball)), ...(await attw(tree, tarball)))
    }
    return problems
  },
}

/** What users import: every subpath that is code. */
const specifiersOf = ({ manifest }: Member): ReadonlyArray<string> =>
  Object.entries(manifest.exports ?? {})
    .filter(([, target]) => typeof target !== "string")
    .map(([subpath]) => `${manifest.name}${subpath.slice(1)}`)

const dependenciesOf = (
  { manifest }: Member,
  options: { readonly optional: boolean },
): ReadonlyArray<string> =>
  Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).filter(
    (name) => options.optional || manifest.peerDependenciesMeta?.[name]?.optional !== true,
  )

const inFolder = async <A>(use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-consumer-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Imports every specifier in one process outside the workspace; says which did not load. */
const load = async (
  folder: string,
  specifiers: ReadonlyArray<string>,
): Promise<ReadonlyArray<Problem>> => {
  const program = join(folder, "load.mjs")
  const body = `for (const name of ${JSON.stringify(specifiers)}) {
  try { await import(name) } catch (error) { console.log(name + " does not load: " + error.message.split("\\n")[0]); process.exitCode = 1 }
}
process.exit()
`
  writeFileSync(program, body)
  const { code, output } = await execute(process.execPath, [program], { cwd: folder, env: outside })
  return code === 0 ? [] : [{ file: "tarballs", message: output.trimEnd() }]
}

/** Errors in our declarations or in their use; those inside other packages are not ours. */
const ours = (output: string): ReadonlyArray<string> =>
  output.split("\n").filter((line) => /^(node_modules\/@ashlar\/|consumer\.ts|error TS)/.test(line))

const compilers = ["typescript-5", "typescript-6", "typescript"]
const resolutions = [
  { module: "NodeNext", moduleResolution: "NodeNext" },
  { module: "ESNext", moduleResolution: "Bundler" },
]

const typesHold = async (
  tree: string,
  folder: string,
  specifiers: ReadonlyArray<string>,
): Promise<ReadonlyArray<Problem>> => {
  const lines = specifiers.flatMap((name, index) => [
    `import * as m${index} from "${name}"`,
    `export const e${index}: object = m${index}`,
  ])
  writeFileSync(join(folder, "consumer.ts"), `${lines.join("\n")}\n`)
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`)
  const problems: Array<Problem> = []
  for (const resolution of resolutions) {
    const compilerOptions = {
      ...resolution,
      target: "ES2024",
      lib: ["ES2024", "ESNext.Disposable"],
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: false,
    }
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["consumer.ts"] }),
    )
    const runs = compilers.map(async (compiler) => {
      const tsc = join(tree, "node_modules", compiler, "bin/tsc")
      const args = [tsc, "-p", folder, "--pretty", "false"]
      const { output } = await execute(process.execPath, args, { cwd: folder, env: outside })
      const found = ours(output)
      const name = `${compiler}, ${resolution.moduleResolution}`
      return found.length === 0
        ? []
        : [{ file: "tarballs", message: `${name}:\n${found.slice(0, 20).join("\n")}` }]
    })
    problems.push(...(await Promise.all(runs)).flat())
  }
  return problems
}

/** Problems of some tarballs, installed outside the workspace; types only when everything loads. */
const consume = async (
  tree: string,
  tarballs: ReadonlyArray<Tarball>,
): Promise<ReadonlyArray<Problem>> => {
  const members = tarballs.map(({ member }) => member)
  const required = new Set(members.flatMap((member) => dependenciesOf(member, { optional: false })))
  const all = new Set(members.flatMap((member) => dependenciesOf(member, { optional: true })))
  const specifiers = members.flatMap(specifiersOf)
  const general = specifiers.filter(
    (name) => name.endsWith("/promise") || members.some(({ manifest }) => manifest.name === name),
  )
  const withoutPeers = await inFolder(async (folder) => {
    await installInto(tree, folder, tarballs, required)
    return load(folder, general)
  })
  return inFolder(async (folder) => {
    await installInto(tree, folder, tarballs, all)
    const unloaded = [...withoutPeers, ...(await load(folder, specifiers))]
    return unloaded.length > 0 ? unloaded : typesHold(tree, folder, specifiers)
  })
}

/** The step `tarballs`. */
export const tarballs: Step = {
  name: "tarballs",
  about: "installed from tarballs: loads, and type-checks on TypeScript 5.9, 6 and 7",
  run: async (tree) => consume(tree, await tarballsOf(tree)),
}
