/** `ashlar/source.json`: what a run was made from. Python writes the same. */
import { Dataset, Digest } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** Names of the artifacts. */
export const artifacts = {
  source: "ashlar/source.json",
  patch: "ashlar/source.patch",
  untracked: "ashlar/untracked.tar",
} as const

const Bytes = Schema.Struct({ digest: Digest.Digest, size: Schema.Int })

/** A file that git does not track. */
const Untracked = Schema.Struct({
  path: Schema.NonEmptyString,
  mode: Schema.Literals(["100644", "100755", "120000"]),
  size: Schema.Int,
  digest: Digest.Digest,
  /** False where the archive has it not: it is too large. */
  stored: Schema.Boolean,
})

const Texts = Schema.Record(Schema.String, Schema.String)

/** Schema of the record. */
export const Source = Schema.Struct({
  format: Schema.Literal("ashlar.source/1"),
  /** ISO 8601. */
  captured: Schema.String,
  git: Schema.optionalKey(
    Schema.Struct({
      commit: Schema.String.check(Schema.isPattern(/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/)),
      branch: Schema.optionalKey(Schema.String),
      /** Without user and password. */
      remote: Schema.optionalKey(Schema.String),
      dirty: Schema.Boolean,
    }),
  ),
  patch: Schema.optionalKey(Bytes),
  archive: Schema.optionalKey(Bytes),
  untracked: Schema.Array(Untracked),
  /** Files of the tree that are not part of what can be rebuilt, and why. */
  withheld: Schema.Array(Schema.Struct({ path: Schema.String, reason: Schema.String })),
  /** Over what can be rebuilt. */
  tree: Schema.Struct({ digest: Digest.Digest, files: Schema.Int, complete: Schema.Boolean }),
  lockfiles: Schema.Array(Schema.Struct({ path: Schema.String, digest: Digest.Digest })),
  runtime: Schema.Struct({
    /** `node` or `python`. */
    name: Schema.Literals(["node", "python"]),
    version: Schema.String,
    /** Versions of what it brings, or of installed packages. */
    packages: Texts,
  }),
  machine: Schema.Struct({
    os: Schema.String,
    release: Schema.String,
    arch: Schema.String,
    cpu: Schema.String,
    cores: Schema.Int,
    memoryBytes: Schema.Number,
    devices: Schema.Array(
      Schema.Struct({ id: Schema.String, kind: Schema.String, name: Schema.String }),
    ),
  }),
  /** The program's options, script and arguments; empty in a notebook. */
  command: Schema.Array(Schema.String),
  /** Relative to the tree's root; empty is the root. */
  directory: Schema.String,
  env: Texts,
  seeds: Schema.Record(Schema.String, Schema.Number),
  datasets: Schema.Array(Dataset.DatasetRef),
})

/** What a run was made from. */
export type Source = typeof Source.Type
