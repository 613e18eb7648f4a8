import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { tarEnd, tarHeader } from '@fumehood/disk';
import { writeImageArchive } from '@fumehood/oci';

/** Writes an image archive with this many empty files, 199 directories deep. It compresses to some megabytes. Returns its digest. */
export async function hostileImage(file: string, count: number): Promise<string> {
  const top = 'd/'.repeat(199);
  const facts = { type: 'file', size: 0, mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const;
  const tar = function* () {
    for (let at = 0; at < count; at++) yield tarHeader({ path: `${top}${at}`, ...facts });
    yield tarEnd();
  };
  const layerFile = `${file}.layer`;
  await pipeline(Readable.from(tar()), createWriteStream(layerFile));
  const config = { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/' };
  const { digest } = await writeImageArchive(file, { config, layerFile });
  await rm(layerFile);
  return digest;
}
