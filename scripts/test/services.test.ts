import { afterEach, expect, it, vi } from "vitest"
import { requirementsOf } from "../python.ts"
import { startServices } from "../services.ts"

afterEach(() => vi.unstubAllEnvs())

it("names every server that does not answer, and how to name another", async () => {
  vi.stubEnv("ASHLAR_PG_URL", "postgres://nobody:secret@127.0.0.1:1/test")
  vi.stubEnv("ASHLAR_REDIS_URL", "redis://127.0.0.1:1")
  vi.stubEnv("ASHLAR_NATS_URL", "nats://127.0.0.1:1")
  const error = await startServices({ allowMissing: false }).catch((cause: unknown) =>
    String(cause),
  )
  expect(error).toMatch(/PostgreSQL does not answer at 127\.0\.0\.1:1: .*ASHLAR_PG_URL/)
  expect(error).toMatch(/Redis does not answer .*ASHLAR_REDIS_URL/)
  expect(error).toMatch(/NATS does not answer .*ASHLAR_NATS_URL/)
  expect(error).not.toContain("secret")
})

it("rejects an S3 endpoint that does not answer, also when others may be missing", async () => {
  for (const name of ["PG", "REDIS", "NATS"]) vi.stubEnv(`ASHLAR_${name}_URL`, "x://127.0.0.1:1")
  vi.stubEnv("ASHLAR_S3_ENDPOINT", "http://127.0.0.1:1")
  await expect(startServices({ allowMissing: true })).rejects.toThrow(
    /S3 server .* does not answer/,
  )
})

it("reads requirements without comments and blank lines", () => {
  expect(requirementsOf("# tools\nnumpy==2.3.4  # arrays\n\n  scipy>=1\n")).toEqual([
    "numpy==2.3.4",
    "scipy>=1",
  ])
})
