import { DatabaseError } from "../../Database.ts"

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : ""

const messageOf = (cause: unknown): string =>
  cause instanceof AggregateError
    ? cause.errors.map(messageOf).join("; ")
    : cause instanceof Error
      ? cause.message
      : String(cause)

/** A named statement whose table changed since; it works under a new name. */
export const isStalePlan = (cause: unknown): boolean =>
  codeOf(cause) === "0A000" && messageOf(cause).includes("cached plan")

type Verdict = readonly [reason: DatabaseError["reason"], advice: string]

const clash: Verdict = ["Conflict", "A concurrent transaction won. Run the transaction again."]
const rule: Verdict = [
  "InvalidInput",
  "The row breaks a rule of its table, or a value does not fit its column. Correct the values.",
]
const gone: Verdict = [
  "Unavailable",
  "PostgreSQL cannot be reached or ended the connection. Check that it runs and that ASHLAR_PG_URL is right, then try again.",
]

const exact: Readonly<Record<string, Verdict>> = {
  "23505": ["AlreadyExists", "A row with this key exists. Use another key, or onConflict."],
  "23P01": ["AlreadyExists", "A row that excludes this one exists. Use other values."],
  "0A000": ["InvalidInput", "This server does not support the statement. Write it another way."],
  "42501": [
    "Unavailable",
    "The user of ASHLAR_PG_URL may not do this. Grant it the right, or connect as another user.",
  ],
  "25006": ["Unavailable", "This server is read-only. Connect to the primary."],
  "25P02": [
    "PreconditionFailed",
    "An earlier statement of this transaction failed. Run the whole transaction again.",
  ],
  "25P03": ["Timeout", "The transaction was idle for too long. Keep transactions short."],
  "40001": clash,
  "40P01": clash,
  "55P03": ["Conflict", "Another transaction holds the lock. Try again."],
  "57014": [
    "Timeout",
    "The statement took longer than statementTimeoutMs. Ask for less, or raise it.",
  ],
  "53100": ["OutOfSpace", "PostgreSQL's disk is full. Free space, then try again."],
  "53200": ["Unavailable", "PostgreSQL ran out of memory. Try again, with fewer rows."],
  "53300": [
    "Unavailable",
    "PostgreSQL has no connection left. Lower poolSize or raise max_connections.",
  ],
}

const stalePlan: Verdict = [
  "Conflict",
  "A table changed since the statement was prepared. Run it again.",
]

const classes: Readonly<Record<string, Verdict>> = {
  "08": gone,
  "22": rule,
  "23": rule,
  "26": [
    "Unavailable",
    "A prepared statement vanished. A pooler in between must support prepared statements (PgBouncer 1.21 or later).",
  ],
  "28": [
    "Unavailable",
    "PostgreSQL refused the login. Check the user and password of ASHLAR_PG_URL.",
  ],
  "3D": ["Unavailable", "The database does not exist. Make it, or correct ASHLAR_PG_URL."],
  "3F": ["InvalidInput", "The schema does not exist."],
  "40": clash,
  "42": ["InvalidInput", "The statement is wrong, or the tables are not migrated."],
  "53": ["Unavailable", "PostgreSQL is out of resources. Try again later."],
  "54": ["InvalidInput", "The statement is too large or too complex. Split it."],
  "57": gone,
  "58": ["Unavailable", "PostgreSQL's machine failed. Read the server's log."],
  XX: ["Corrupt", "PostgreSQL found an inner error or damaged data. Read the server's log."],
}

/** What an error of pg means. */
export const fromPostgres = (cause: unknown): DatabaseError => {
  if (cause instanceof DatabaseError) return cause
  const code = codeOf(cause)
  const isSqlState = /^[0-9A-Z]{5}$/.test(code) && cause instanceof Error && "severity" in cause
  const fromMessage: Verdict = /timeout/i.test(messageOf(cause))
    ? [
        "Timeout",
        "No PostgreSQL connection came free in time. Raise poolSize, or keep transactions short.",
      ]
    : gone
  const [reason, advice] = isStalePlan(cause)
    ? stalePlan
    : isSqlState
      ? (exact[code] ??
        classes[code.slice(0, 2)] ?? ["Internal", `PostgreSQL failed with ${code}.`])
      : fromMessage
  return new DatabaseError({ reason, message: `${advice} (${messageOf(cause)})`, cause })
}
