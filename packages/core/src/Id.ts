/**
 * Ids of stored things: UUIDv7 (RFC 9562), which sort by the time they were made.
 *
 * @module
 */
import { randomFillSync } from "node:crypto"
import * as Schema from "effect/Schema"

/** Schema of an id: a UUID in lower case. */
export const Id = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
    message: "an id is a lower-case UUID",
  }),
)

const bytes = new Uint8Array(16)
let lastMillis = 0
let sequence = 0

/** A new UUIDv7. Ids made by one process in one millisecond still increase. */
export const make = (now: number = Date.now()): string => {
  randomFillSync(bytes)
  if (now > lastMillis) {
    lastMillis = now
    sequence = (((bytes[6] ?? 0) & 0x07) << 8) | (bytes[7] ?? 0)
  } else {
    sequence += 1
    // The 12-bit counter ran over: borrow from the next millisecond, as RFC 9562 6.2 allows.
    if (sequence > 0xfff) {
      lastMillis += 1
      sequence = 0
    }
  }
  const time = lastMillis.toString(16).padStart(12, "0")
  const tail = Buffer.from(bytes.buffer, 8, 8)
  tail[0] = ((tail[0] ?? 0) & 0x3f) | 0x80
  const random = tail.toString("hex")
  const counter = sequence.toString(16).padStart(3, "0")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${random.slice(0, 4)}-${random.slice(4)}`
}
