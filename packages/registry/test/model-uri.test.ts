import * as fc from "fast-check"
import { posix } from "node:path"
import { expect, it } from "vitest"
import * as Uri from "../src/internal/model-uri.ts"

it("reads models:/ URIs as MLflow does", () => {
  expect(Uri.model("models:/m-12")).toEqual({ kind: "logged", id: "m-12" })
  expect(Uri.model("models:/a b/3")).toEqual({ kind: "version", name: "a b", version: 3 })
  expect(Uri.model("models:/a@b@c")).toEqual({ kind: "alias", name: "a@b", alias: "c" })
  expect(Uri.model("models:/a/LATEST")).toEqual({ kind: "latest", name: "a" })
  expect(Uri.model("models:/a/Staging")).toEqual({ kind: "stage", name: "a", stage: "Staging" })
  for (const bad of [
    "models:",
    "models:/",
    "models:a/1",
    "models:/a/1/2",
    "models:/ /1",
    "models:/a@",
    "runs:/a/1",
  ]) {
    expect(Uri.model(bad), bad).toBeUndefined()
  }
})

it("lets local paths in only below the artifacts of what the request names", () => {
  const root = "file:///data/run/artifacts"
  const wrong = (source: string, at: string | undefined = root) =>
    Uri.wrongLocal(source, "run_id", at)?.reason
  for (const good of [
    "/data/run/artifacts",
    "file:/data/run/artifacts/model",
    "/data/run/artifacts/a%20b",
  ]) {
    expect(wrong(good), good).toBeUndefined()
  }
  for (const bad of [
    "/data/run/artifacts/../x",
    "/data/run/artifacts/%2e%2e/x",
    "/data/run/artifacts/%252e%252e/x",
    "/data/run/artifacts2",
    "data/run/artifacts",
    "/",
    "",
  ]) {
    expect(wrong(bad), bad).toBe("InvalidInput")
  }
  expect(Uri.wrongLocal("/data/run/artifacts", "run_id", undefined)?.reason).toBe("InvalidInput")
  expect(wrong("/0/r/artifacts", "mlflow-artifacts:/0/r/artifacts")).toBe("InvalidInput")
})

/** Spellings of the parts of a path that climbs. */
const part = fc.constantFrom(
  ..."a|model|..|.|%2e%2e|%2E.|%252e%252e|..%2f|..%5c|..\\|%00||+|artifacts|x%2fy".split("|"),
)

it("never finds files above the root that a source was allowed under", () => {
  const root = "mlflow-artifacts:/0/run/artifacts"
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 8 }),
      fc.constantFrom("", "?q=..", "#/.."),
      (parts, rest) => {
        const source = `${root}/${parts.join("/")}${rest}`
        if (Uri.wrongPath(source) !== undefined || !Uri.isWithin(source, root)) return
        const path = Uri.proxied(source) ?? "/"
        expect(posix.normalize(path)).toMatch(/^0\/run\/artifacts(\/|$)/)
        expect(path).not.toMatch(/\\|\0/)
      },
    ),
    { seed: 7, numRuns: 5000 },
  )
})

it("refuses relative parts in every spelling", () => {
  for (const bad of [
    "mlflow-artifacts:/0/run/artifacts/../../x",
    "mlflow-artifacts:/0/run/artifacts/..%2f..%2fx",
    "mlflow-artifacts:/0/%252e%252e/x",
    "mlflow-artifacts:/0/./x",
    "mlflow-artifacts:0/x",
    "mlflow-artifacts:/0/x%00",
    "s3://bucket",
    "s3:/bucket/a/../b",
    "runs:/run/../other",
  ]) {
    expect(Uri.wrongPath(bad)?.reason, bad).toBe("InvalidInput")
  }
  for (const good of [
    "s3://bucket/a",
    "mlflow-artifacts:/0/run/artifacts",
    "gs://b/a+b",
    "runs:/r/a b",
  ]) {
    expect(Uri.wrongPath(good), good).toBeUndefined()
  }
})

it("connects to no host that a source names", () => {
  for (const bad of [
    "http://h/x",
    "HTTPS://h/x",
    "ftp:///x",
    "mlflow-artifacts://h:1/x",
    "hdfs://h/x",
  ]) {
    expect(Uri.wrongScheme(bad)?.reason, bad).toBe("InvalidInput")
  }
  expect(Uri.wrongScheme("mlflow-artifacts:/x")).toBeUndefined()
  expect(Uri.wrongScheme("s3://b/x")).toBeUndefined()
})
