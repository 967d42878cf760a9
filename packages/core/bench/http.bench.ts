/** What a route of the HTTP kit costs over a bare Fastify route, without the network. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import Fastify, { type FastifyInstance } from "fastify"
import * as HttpKit from "@ashlar/core/fastify"

const requests = 4000
const rounds = 7
const runtime = ManagedRuntime.make(Layer.empty)

const bare = Fastify()
bare.post("/score", async (request) => {
  const { rows } = request.body as { readonly rows: ReadonlyArray<number> }
  return { count: rows.length }
})

const kit = Fastify()
await kit.register(HttpKit.plugin, { auth: "off-on-loopback" })
HttpKit.route(kit, runtime, {
  method: "POST",
  url: "/score",
  operation: "score",
  access: { verb: "read" },
  body: Schema.Struct({ rows: Schema.Array(Schema.Finite) }),
  response: Schema.Struct({ count: Schema.Int }),
  handler: ({ body }) => Effect.succeed({ count: body.rows.length }),
})

const time = async (app: FastifyInstance): Promise<number> => {
  const start = process.hrtime.bigint()
  for (let index = 0; index < requests; index++) {
    const response = await app.inject({
      method: "POST",
      url: "/score",
      headers: { "content-type": "application/json", host: "localhost" },
      payload: '{"rows":[1,2,3]}',
    })
    if (response.statusCode !== 200) throw new Error(response.body)
  }
  return Number(process.hrtime.bigint() - start) / 1000 / requests
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const times = { bare: [] as Array<number>, kit: [] as Array<number> }
for (let round = -1; round < rounds; round++) {
  const measured = { bare: await time(bare), kit: await time(kit) }
  // The first round warms up.
  if (round < 0) continue
  times.bare.push(measured.bare)
  times.kit.push(measured.kit)
}
await Promise.all([bare.close(), kit.close(), runtime.dispose()])

const value = median(times.kit) / median(times.bare)
console.log(
  JSON.stringify({
    bench: "core/http/route",
    value: Number(value.toFixed(2)),
    unit: "x",
    against: `${median(times.bare).toFixed(1)} us a request for a bare Fastify route, both without the network`,
    bar: 2.5,
    pass: value < 2.5,
  }),
)
