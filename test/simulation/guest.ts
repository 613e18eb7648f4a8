/** Returns what the program of an attempt writes from an offset on. Every attempt writes other bytes. */
export function guestBytes(
  jobId: number,
  attempt: number,
  stream: 'stdout' | 'stderr',
  offset: number,
  length: number,
): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(length);
  const start = jobId * 1_009 + attempt * 101 + (stream === 'stderr' ? 53 : 0);
  for (let i = 0; i < length; i += 1) bytes[i] = (start + (offset + i) * 7 + ((offset + i) >> 8)) & 0xff;
  return bytes;
}
