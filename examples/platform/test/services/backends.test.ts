import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3"
import * as Postgres from "@ashlar/core/postgres"
import * as S3 from "@ashlar/core/s3"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client } from "pg"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Numbers from "../numbers.ts"
import { client, firstToken, start, tokensIn } from "../Platform.ts"

const url = process.env["ASHLAR_PG_URL"]
const endpoint = process.env["ASHLAR_S3_ENDPOINT"]
const schema = `platform_${process.pid}`
const bucket = `platform-${process.pid}`
const credentials = { accessKeyId: "test", secretAccessKey: "test" }
const folder = mkdtempSync(join(tmpdir(), "ashlar-backends-"))

describe.skipIf(url === undefined || endpoint === undefined)(
  "needs ASHLAR_PG_URL and ASHLAR_S3_ENDPOINT",
  () => {
    const postgres = new Client({ connectionString: url })
    beforeAll(async () => {
      await postgres.connect()
      const s3 = new S3Client({
        endpoint: endpoint ?? "",
        region: "us-east-1",
        forcePathStyle: true,
        credentials,
      })
      await s3.send(new CreateBucketCommand({ Bucket: bucket }))
      s3.destroy()
    })
    afterAll(async () => {
      await postgres.query(`drop schema if exists ${schema} cascade`)
      await postgres.end()
      rmSync(folder, { recursive: true, force: true })
    })

    it("keeps everything in PostgreSQL and S3, by configuration alone", async () => {
      const env = {
        ASHLAR_PG_URL: url ?? "",
        ASHLAR_PG_SCHEMA: schema,
        ASHLAR_S3_ENDPOINT: endpoint ?? "",
        ASHLAR_S3_BUCKET: bucket,
        ASHLAR_S3_REGION: "us-east-1",
        ASHLAR_S3_ACCESS_KEY_ID: credentials.accessKeyId,
        ASHLAR_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      }
      const first = await start({ args: ["--directory", join(folder, "one")], env })
      let token: string
      try {
        token = await firstToken(first)
        await Numbers.register(
          Layer.mergeAll(
            Postgres.layer({ url: url ?? "", schema }),
            S3.layer({
              endpoint: endpoint ?? "",
              bucket,
              region: "us-east-1",
              accessKeyId: credentials.accessKeyId,
              secretAccessKey: Redacted.make(credentials.secretAccessKey),
            }),
          ),
        )
        await Numbers.expectInference(client(first.url, token))
        const ready = await client(first.url)("/health/ready")
        expect(await ready.json()).toMatchObject({
          status: "ready",
          checks: { database: "ok", blobs: "ok" },
        })
      } finally {
        expect(await first.stop()).toEqual({ code: 0 })
      }
      expect(existsSync(join(folder, "one/ashlar.sqlite"))).toBe(false)
      expect(existsSync(join(folder, "one/blobs"))).toBe(false)

      // Another machine: nothing of the first one's disk.
      await using second = await start({ args: ["--directory", join(folder, "two")], env })
      await Numbers.expectInference(client(second.url, token))
      expect(tokensIn(second.output.stdout)).toEqual([])
    })
  },
)
