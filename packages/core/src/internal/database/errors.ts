import { DatabaseError } from "../../Database.ts"

/** A rule the caller broke before anything reached the database. */
export const invalid = (message: string, field?: string): DatabaseError =>
  new DatabaseError({
    reason: "InvalidInput",
    message,
    ...(field === undefined ? {} : { field }),
  })

/** The transaction ended, or an earlier error doomed it. */
export const doomed = (earlier: string): DatabaseError =>
  new DatabaseError({
    reason: "PreconditionFailed",
    message: `This transaction was rolled back because of an earlier failure in it (${earlier}). Let that error leave the transaction, then run the whole transaction again.`,
  })

/** A fiber outlived the transaction it was forked in. */
export const over = (): DatabaseError =>
  new DatabaseError({
    reason: "PreconditionFailed",
    message:
      "The transaction this fiber belongs to is over. Finish all queries before the transaction's effect ends, or fork the fiber outside of it.",
  })

/** An integer that a JS number cannot hold. */
export const unsafeInteger = (value: string, column?: string): DatabaseError =>
  invalid(
    `${column === undefined ? "A column" : `Column '${column}'`} holds ${value}, beyond 2^53, which a JS number cannot hold exactly. Select cast(<column> as text) instead.`,
    column,
  )
