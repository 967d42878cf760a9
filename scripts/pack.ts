/**
 * Packs the packages as they would be published: built libraries, kernels, pages, licence.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { execute, type Finished } from "./check/tool.ts"
import { buildKernels } from "./kernels.ts"
import { buildPages } from "./ui.ts"
import { filesUnder, type Member, packagesOf } from "./workspace.ts"

/** A packed package. */
export interface Tarball {
  readonly member: Member
  readonly file: string
}

/** The environment of a program outside the workspace: no source condition, no workspace settings. */
export const outside: Readonly<Record<string, string>> = { NODE_OPTIONS: "" }

/** Runs npm: the one that runs this script, otherwise the one on the path. */
export const npm = (args: ReadonlyArray<string>, cwd: string): Promise<Finished> => {
  const own = process.env["npm_execpath"]
  return own === undefined
    ? execute("npm", args, { cwd, env: outside })
    : execute(process.execPath, [own, ...args], { cwd, env: outside })
}

const succeed = async (what: string, run: Promise<Finished>): Promise<string> => {
  const { code, output } = await run
  if (code !== 0) throw new Error(`${what} exits with ${code}:\n${output}`)
  return output
}

/** `@ashlar/core` at 0.1.0 is packed as `ashlar-core-0.1.0.tgz`. */
const tarballName = ({ manifest }: Member): string =>
  `${manifest.name.replace(/^@/, "").replace("/", "-")}-${manifest.version ?? "0.0.0"}.tgz`

/** Deletes built files whose source is gone: an incremental build leaves them behind. */
const removeOrphans = ({ folder }: Member): void => {
  const dist = join(folder, "dist")
  for (const file of filesUnder(dist, ".js", ".ts", ".map")) {
    // Pages are bundled: no file of theirs has one source.
    if (file.startsWith(join(dist, "ui/"))) continue
    const stem = relative(dist, file).replace(/(\.d)?(\.js|\.ts)(\.map)?$/, "")
    if (!existsSync(join(folder, "src", `${stem}.ts`))) rmSync(file)
  }
}

/** Builds and packs packages (all of the tree's by default) into `folder`. */
export const packInto = async (
  tree: string,
  folder: string,
  members: ReadonlyArray<Member> = packagesOf(tree),
): Promise<ReadonlyArray<Tarball>> => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const folders = members.map((member) => `./packages/${basename(member.folder)}`)
  const tsc = join(tree, "node_modules/typescript/bin/tsc")
  members.forEach(removeOrphans)
  await succeed("tsc -b", execute(process.execPath, [tsc, "-b", ...folders], { cwd: tree }))
  buildKernels(tree)
  buildPages(tree)
  const args = ["pack", ...folders, "--ignore-scripts", "--silent", "--pack-destination", folder]
  await succeed("npm pack", npm(args, tree))
  return members.map((member) => ({ member, file: join(folder, tarballName(member)) }))
}

/**
 * Unpacks tarballs into `consumer/node_modules`, with `dependencies` linked from the workspace's
 * own: as npm would install them, without a registry.
 */
export const installInto = async (
  tree: string,
  consumer: string,
  tarballs: ReadonlyArray<Tarball>,
  dependencies: ReadonlySet<string>,
): Promise<void> => {
  const modules = join(consumer, "node_modules")
  for (const { member, file } of tarballs) {
    const folder = join(modules, member.manifest.name)
    mkdirSync(folder, { recursive: true })
    await succeed(
      "tar",
      execute("tar", ["-xzf", file, "--strip-components=1", "-C", folder], { cwd: consumer }),
    )
  }
  for (const name of dependencies) {
    if (name.startsWith("@ashlar/")) continue
    const link = join(modules, name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(tree, "node_modules", name), link)
  }
  const types = join(tree, "node_modules/@types")
  mkdirSync(join(modules, "@types"), { recursive: true })
  for (const name of readdirSync(types))
    symlinkSync(join(types, name), join(modules, "@types", name))
}
