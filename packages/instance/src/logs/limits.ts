/**
 * Bytes of one stream (stdout or stderr) of one log entry that the instance keeps: 16 MiB. More bytes are counted and dropped.
 * Without a limit, one job could fill the database.
 */
export const streamBytesMax = 16 * 2 ** 20;
