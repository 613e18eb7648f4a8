/**
 * Largest body of a frame to the guest, bytes: as much as Linux takes as arguments and variables of a program (2 MiB), and the rest of
 * a step. Init has the same limit (`FRAME_MAX` in guest/init/frame.h).
 */
export const frameMax = 2_621_440;
/** Largest body of a frame that the host reads, bytes. What a guest has to say is short. */
export const answerMax = 65_536;
/**
 * Most fields of a frame, including the verb: two for each of 4,096 arguments, 4,096 variables, and every other fact of a step. Init
 * has the same limit (`FIELDS_MAX` in guest/init/frame.h).
 */
export const fieldsMax = 17_408;
/** Longest id of a step or a collected file, characters (`ID_MAX` in guest/init/init.h). */
export const idMax = 63;
/** Longest message for people that a guest may send, characters. */
export const guestTextMax = 1_000;
/** How long an announced output byte may take to arrive after the guest has written it, ms. */
export const missingByteMs = 5_000;
/**
 * Largest error of the clock of a guest that the host accepts, ms. A clone's clock is late by the time that its VMM takes to start, 0.1 s
 * under emulation. Another knock would have to wait until init has mounted the disks, which the executor sends behind the first one.
 */
export const clockErrorMaxMs = 500;
/** Number of knocks, each of which sets the clock, before the host gives up. */
export const knockTriesMax = 5;
