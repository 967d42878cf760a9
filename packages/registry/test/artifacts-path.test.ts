import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Path from "../src/internal/artifacts/path.ts"

const parse = (path: string) =>
  Effect.runSync(
    Effect.match(Path.parse("path", path), {
      onSuccess: (value) => value,
      onFailure: ({ message, reason, field }) => [reason, field, message] as const,
    }),
  )

const refused = ["InvalidInput", "path", "Invalid path"]

describe("paths of files", () => {
  it.each([
    "..",
    "../x",
    "a/../b",
    "a/..",
    "%2e%2e/x",
    "%2E%2e%2fx",
    "a/%252e%252e/b",
    "%25252e%25252e%25252fetc",
    "/etc/passwd",
    "%2fetc/passwd",
    "%252Fetc",
    "//etc",
    "file:///etc/passwd",
    "file:etc",
    "FILE:x",
    "file%3A///etc",
    "C:/windows",
    "c:\\windows",
    "\\\\host\\share",
    "./file:x",
    ".%2fC:/x",
    "a#b",
    "a%23b",
    `${"%25".repeat(3000)}2e`,
  ])("refuses %j in MLflow's words", (path) => {
    expect(parse(path)).toEqual(refused)
  })

  it.each([
    ["a\\..\\b", "backslash"],
    ["a%5Cb", "backslash"],
    ["a\u0000b", "control"],
    ["a%00b", "control"],
    ["a%0ab", "control"],
    ["a%ffb", "UTF-8"],
    ["a\ud800", "UTF-8"],
    ["x".repeat(1025), "1024"],
  ])("refuses %j and says why", (path, rule) => {
    const [reason, field, message] = parse(path)
    expect([reason, field]).toEqual(["InvalidInput", "path"])
    expect(message).toContain(rule)
  })

  it.each([
    ["", ""],
    ["a", "a"],
    ["a/b.txt", "a/b.txt"],
    ["a//b/./c/", "a/b/c"],
    ["a%20b", "a b"],
    ["100%", "100%"],
    ["späť/日本", "späť/日本"],
    ["sp%C3%A4t", "spät"],
    ["...", "..."],
    ["a/..b", "a/..b"],
  ])("takes %j", (path, expected) => {
    expect(parse(path)).toBe(expected)
  })

  it("whatever is sent, what is taken lies in the tree and is taken as it is again", () => {
    const piece = fc.constantFrom(
      ..."a b .. . / \\ %2e %2E %2f %5c %25 %252e %00 %c3%a4 %ff # : C: file: ~ %".split(" "),
      "ä",
      "\u0001",
      "\ud800",
    )
    const path = fc.oneof(
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
      fc.string({ unit: "binary", maxLength: 40 }),
    )
    fc.assert(
      fc.property(path, (given) => {
        const taken = parse(given)
        if (typeof taken !== "string") return
        const names = taken.split("/")
        expect(names.includes("..") || names.includes(".")).toBe(false)
        expect(taken === "" || !names.includes("")).toBe(true)
        // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
        expect(/[\\\u0000-\u001f\u007f#]/.test(taken)).toBe(false)
        expect(parse(taken)).toBe(taken)
      }),
      { seed: 8, numRuns: 5000 },
    )
  })

  it("knows where artifact URIs lie", () => {
    expect(Path.ofUri("mlflow-artifacts:/1/r/artifacts")).toBe("1/r/artifacts")
    expect(Path.ofUri("mlflow-artifacts://host:5000/1/r/artifacts/")).toBe("1/r/artifacts")
    expect(Path.ofUri("s3://bucket/1")).toBeUndefined()
    expect(Path.above("a/b/c")).toEqual(["a", "a/b"])
  })
})
