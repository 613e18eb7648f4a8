/**
 * Bytes of one stream (stdout or stderr) of one log entry that the instance keeps: 256 MiB, as many as of a job's stdin. More bytes are
 * counted and dropped. Without a limit, one job could fill the database.
 */
export const streamBytesMax = 256 * 2 ** 20;

/** Bytes of output in one event. Followers read several events at once. */
export const eventBytesMax = 2 ** 20;

/** How long the answer to output beyond that waits: a program that prints without end costs 20 commits per second at most. */
export const overflowPauseMs = 50;

/** Characters of the command of a log entry that the instance keeps; the last word says how many more there were. */
export const commandMax = 65_536;

/** How often the facts of one log entry may change. They change once, at the end of its phase; a repeated update changes nothing. */
export const entryChangesMax = 100;
