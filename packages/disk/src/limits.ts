/**
 * Apparent size of every read-only disk, bytes: the same for all, whatever they hold; the files are sparse on the host. An archive
 * cannot have more bytes than a disk.
 */
export const diskSize = 64 * 2 ** 30;
/** The latest time that a disk can hold, seconds since 1970: the field has 32 bits, so later times become this one. */
export const timeMax = 2 ** 32 - 1;
/** Most members of an archive. */
export const membersMax = 2_000_000;
/** Largest size of a member's extension headers together, bytes: far more than any path needs, and little memory. */
export const extensionMax = 1 << 20;
/** Largest size of all extension headers of an archive together, bytes: 1,000 for each of the most members. */
export const extensionsMax = 2 * 2 ** 30;
