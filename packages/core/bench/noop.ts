/** The job of the compute bench: does nothing. */
export const noop = (): null => null
