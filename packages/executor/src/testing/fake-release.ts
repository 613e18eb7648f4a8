import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { architectures } from '../host/firecracker/releases.ts';

export const architecture = architectures[process.arch as keyof typeof architectures];

/** Returns a member of an archive. */
export function fakeMember(path: string, content: string, type: 'file' | 'symlink' = 'file'): Buffer {
  const bytes = Buffer.from(content);
  const size = type === 'file' ? bytes.length : 0;
  const link = type === 'symlink' ? { linkTarget: content } : {};
  const header = tarHeader({ path, type, size, mode: 0o755, uid: 1000, gid: 1000, mtime: 0, ...link });
  return type === 'file' ? Buffer.concat([header, bytes, tarPadding(size)]) : header;
}

/** Returns the SHA-256 of bytes. */
export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Returns a compressed archive with these members, and the release that it is. */
export function fakeArchive(version: string, members: readonly Buffer[]) {
  const archive = gzipSync(Buffer.concat([...members, tarEnd()]));
  return { archive, release: { version, architecture, sha256: sha256(archive) } };
}

/** Returns an archive in the form of Firecracker's, whose binary is a shell script that only says this version. */
export function fakeRelease(version: string, says = `Firecracker v${version}`) {
  const top = `release-v${version}-${architecture}`;
  return fakeArchive(version, [
    fakeMember(`${top}/LICENSE`, 'a licence'),
    fakeMember(`${top}/firecracker-v${version}-${architecture}`, `#!/bin/sh\necho '${says}'\n`),
    fakeMember(`${top}/jailer-v${version}-${architecture}`, 'not used'),
  ]);
}
