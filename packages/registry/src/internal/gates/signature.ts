import type { Signature } from "@ashlar/core"
import { type GateResult, result } from "./result.ts"

const shapeText = (shape: ReadonlyArray<number>): string => `[${shape.join(", ")}]`

/** Whether every size that `narrow` allows is allowed by `wide` too. */
const covers = (wide: ReadonlyArray<number>, narrow: ReadonlyArray<number>): boolean =>
  wide.length === narrow.length && wide.every((size, i) => size === -1 || size === narrow[i])

const byName = (specs: ReadonlyArray<Signature.TensorSpec>) =>
  new Map(specs.map((spec) => [spec.name, spec]))

const describe = ({ datatype, shape }: Signature.TensorSpec): string =>
  `${datatype} ${shapeText(shape)}`

/**
 * Why a candidate cannot take the champion's place. A request names exactly the inputs of the
 * signature, so the names must be the same; each input takes the same datatype and at least the
 * shapes that the champion's takes, with its columns in the same order. Each output of the champion
 * is there with the same datatype and no shape that the champion's has not; more outputs are fine.
 * Parameters of the champion are known to the candidate.
 */
export const faults = (
  candidate: Signature.Signature,
  champion: Signature.Signature,
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const [inputs, known] = [byName(candidate.inputs), byName(champion.inputs)]
  for (const name of inputs.keys()) {
    if (!known.has(name)) found.push(`input '${name}' is one that the champion does not take`)
  }
  for (const [name, before] of known) {
    const now = inputs.get(name)
    if (now === undefined) {
      found.push(`input '${name}' is no longer taken`)
      continue
    }
    if (now.datatype !== before.datatype || !covers(now.shape, before.shape)) {
      found.push(`input '${name}' is ${describe(now)}, the champion takes ${describe(before)}`)
    }
    const [columns, order] = [now.columns?.join("\u0000"), before.columns?.join("\u0000")]
    if (order !== undefined && columns !== undefined && columns !== order) {
      found.push(`input '${name}' has other columns, or in another order`)
    }
  }
  const outputs = byName(candidate.outputs)
  for (const before of champion.outputs) {
    const now = outputs.get(before.name)
    if (now === undefined) {
      found.push(`output '${before.name}' is no longer given`)
    } else if (now.datatype !== before.datatype || !covers(before.shape, now.shape)) {
      found.push(
        `output '${before.name}' is ${describe(now)}, the champion gives ${describe(before)}`,
      )
    }
  }
  for (const name of Object.keys(champion.params ?? {})) {
    if (!Object.hasOwn(candidate.params ?? {}, name)) {
      found.push(`parameter '${name}' is no longer taken`)
    }
  }
  return found
}

/** The gate `signature`. */
export const check = (
  candidate: Signature.Signature | undefined,
  champion: { readonly version: number; readonly signature?: Signature.Signature } | undefined,
): GateResult => {
  const name = "signature"
  const one = (passed: boolean, message: string) => result(name, [{ name, passed, message }])
  if (candidate === undefined) return one(false, "the version has no signature")
  if (champion === undefined) return one(true, "there is no champion to be compatible with")
  if (champion.signature === undefined) {
    return one(true, `the champion, version ${champion.version}, has no signature to keep`)
  }
  const found = faults(candidate, champion.signature)
  if (found.length === 0) return one(true, `takes what version ${champion.version} takes`)
  return result(
    name,
    found.map((message) => ({ name, passed: false, message })),
  )
}
