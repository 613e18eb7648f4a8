import { execFile, type ExecFileException } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { type Identity, trustedUids, untrustedPart } from '@fumehood/base';
import { vmmRefused } from '../../errors.ts';
import { acceptedVersion } from './versions.ts';

/** How long a binary may take to say its version, ms. */
const timeoutMs = 10_000;
/** Most bytes that it may write for that: it says goodbye in the form of a log entry, too. */
const outputMax = 65_536;

/**
 * Returns the version of the Firecracker at this path, which it says itself. The binary runs as `identity`, or as the user of this
 * process if that is null. A binary that another user of the machine could change is not run. Errors: `vmm_refused`.
 */
export async function firecrackerVersion(binary: string, identity: Identity | null): Promise<string> {
  const real = await realpath(binary).catch((error: Error) => {
    throw vmmRefused(`there is no Firecracker: ${error.message}`);
  });
  const untrusted = untrustedPart(real, trustedUids());
  if (untrusted !== null)
    throw vmmRefused(
      `another user of this machine could change ${binary}, because of the owner or the mode of ${untrusted}`,
    );
  const output = await sayVersion(real, identity);
  // Everything after the first line is a log entry, or belongs to other versions of the output.
  const [, version] = /^Firecracker (v\S{1,60})$/.exec(output.split('\n', 1)[0] as string) ?? [];
  if (version === undefined)
    throw vmmRefused(`${binary} --version does not say which Firecracker it is: ${shown(output)}`);
  return acceptedVersion(version, { pci: false });
}

function sayVersion(binary: string, identity: Identity | null): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: outputMax } as const;
    const options = { cwd: '/', env: {}, ...limits, ...identity };
    execFile(binary, ['--version'], options, (error, stdout, stderr) => {
      if (error) reject(vmmRefused(`${binary} --version fails: ${reasonOf(error, stderr)}`));
      else resolve(stdout);
    });
  });
}

function reasonOf(error: ExecFileException, stderr: string): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `it writes more than ${outputMax} bytes`;
  if (error.killed) return `it takes longer than ${timeoutMs / 1000} s`;
  if (error.code === 'EACCES') return 'users of VMs, who have no privilege, cannot execute it (EACCES)';
  return shown(stderr) || error.message;
}

/** Returns the first line of what a binary wrote, without unprintable characters and cut to 100. */
const shown = (text: string) =>
  (text.trim().split('\n', 1)[0] ?? '').replace(/[^\x20-\x7e]/g, ' ').slice(0, 100);
