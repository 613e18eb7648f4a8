import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { guestImageInvalid, kernelUnusable, toolFailed } from '../errors.ts';

/** Returns an uncompressed kernel. Errors: `kernel_unusable`. */
export async function readKernel(file: string): Promise<Buffer> {
  const kernel = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw kernelUnusable(file, `it cannot be read (${error.code})`);
  });
  if (kernel.toString('latin1', 0, 4) !== '\x7fELF') throw kernelUnusable(file, 'it is no ELF file');
  return kernel;
}

/**
 * Returns the uncompressed kernel inside Debian's bzImage, whose payload is a legacy LZ4 stream. The offsets are those of the x86
 * boot protocol (Documentation/arch/x86/boot.rst: setup_sects, header, payload_offset, payload_length). Errors:
 * `guest_image_invalid`, `tool_failed`.
 */
export async function extractKernel(file: string): Promise<Buffer> {
  const image = await readFile(file);
  if (image.length < 0x260 || image.toString('latin1', 0x202, 0x206) !== 'HdrS') {
    throw guestImageInvalid('the kernel is not a bzImage');
  }
  const setupSectors = image[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  if (payload.toString('hex', 0, 4) !== '02214c18')
    throw guestImageInvalid('the kernel is not compressed with LZ4');
  // The last four bytes are the uncompressed size.
  const size = payload.readUInt32LE(payload.length - 4);
  const kernel = await decompress(payload.subarray(0, -4), size);
  if (kernel.length !== size || kernel.toString('latin1', 0, 4) !== '\x7fELF') {
    throw guestImageInvalid('the kernel did not decompress to an ELF file');
  }
  return kernel;
}

function decompress(payload: Buffer, size: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile('lz4', ['-dc'], { encoding: 'buffer', maxBuffer: size + 1 }, (error, stdout) =>
      error
        ? reject(toolFailed('lz4', error.message, 'Install it: `apt-get install lz4`.'))
        : resolve(stdout),
    );
    child.stdin?.on('error', () => {}); // the callback reports that lz4 has ended
    child.stdin?.end(payload);
  });
}
