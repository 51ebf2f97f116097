/** The command line is not one of ours; the message says what is wrong with it. */
export class UsageError extends Error {}
