import { DatabaseError } from "../../Database.ts"

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : ""

const messageOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : String(cause)

/** Another process holds the lock; the statement did nothing and may run again. */
export const isBusy = (cause: unknown): boolean => codeOf(cause).startsWith("SQLITE_BUSY")

const classify = (code: string, file: string): [DatabaseError["reason"], string] => {
  switch (code) {
    case "SQLITE_CONSTRAINT_PRIMARYKEY":
    case "SQLITE_CONSTRAINT_UNIQUE":
    case "SQLITE_CONSTRAINT_ROWID":
      return ["AlreadyExists", "A row with this key exists. Use another key, or onConflict."]
    case "SQLITE_CONSTRAINT_FOREIGNKEY":
    case "SQLITE_CONSTRAINT_NOTNULL":
    case "SQLITE_CONSTRAINT_CHECK":
    case "SQLITE_CONSTRAINT_DATATYPE":
      return ["InvalidInput", "The row breaks a rule of its table. Correct its values."]
    case "SQLITE_MISMATCH":
    case "SQLITE_RANGE":
    case "SQLITE_TOOBIG":
      return ["InvalidInput", "A value does not fit. Correct its type or size."]
    case "SQLITE_FULL":
      return [
        "OutOfSpace",
        `The disk or the size limit of ${file} is full. Free space, then try again; nothing was written.`,
      ]
    case "SQLITE_CORRUPT":
    case "SQLITE_NOTADB":
      return [
        "Corrupt",
        `${file} is damaged or no SQLite database. Restore it from a backup, or name another file.`,
      ]
    case "SQLITE_READONLY":
    case "SQLITE_CANTOPEN":
    case "SQLITE_PERM":
    case "SQLITE_AUTH":
      return [
        "Unavailable",
        `${file} cannot be opened or written. Check that its folder exists and that this user may write there.`,
      ]
    case "SQLITE_IOERR":
    case "SQLITE_NOLFS":
      return ["Unavailable", `Reading or writing ${file} failed. Check the disk.`]
    case "SQLITE_NOMEM":
      return [
        "Unavailable",
        "SQLite ran out of memory. Give the process more, or ask for fewer rows.",
      ]
    case "SQLITE_LOCKED":
      return ["Conflict", "A table is locked by another statement of this process. Try again."]
    case "SQLITE_ERROR":
      return ["InvalidInput", "The statement is wrong, or the tables are not migrated."]
    default:
      return ["Internal", `SQLite failed with ${code || "an unknown error"}.`]
  }
}

/** What an error of better-sqlite3 means. */
export const fromSqlite = (cause: unknown, file: string, busyTimeoutMs: number): DatabaseError => {
  if (cause instanceof DatabaseError) return cause
  if (isBusy(cause)) {
    return new DatabaseError({
      reason: "Conflict",
      message: `Another connection kept ${file} locked for more than ${busyTimeoutMs} ms. Try again, keep transactions short, or raise busyTimeoutMs (ASHLAR_SQLITE_BUSY_TIMEOUT_MS).`,
      cause,
    })
  }
  if (cause instanceof TypeError && /connection is not open/.test(cause.message)) {
    return new DatabaseError({
      reason: "Unavailable",
      message: `The database ${file} was closed. Keep its layer or scope open while it is in use.`,
      cause,
    })
  }
  const code = codeOf(cause)
  const bindFailed = code === "" && (cause instanceof TypeError || cause instanceof RangeError)
  // Extended codes such as SQLITE_IOERR_FSYNC mean what their first two words mean.
  const family = code.startsWith("SQLITE_CONSTRAINT") ? code : code.split("_").slice(0, 2).join("_")
  const [reason, advice] = classify(bindFailed ? "SQLITE_MISMATCH" : family, file)
  return new DatabaseError({ reason, message: `${advice} (${messageOf(cause)})`, cause })
}
