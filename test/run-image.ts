import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { flattenImage, openArchive } from '@fumehood/oci';

/**
 * Unpacks an image into a directory that is not there yet. Returns what runs its entrypoint on a project, in a sandbox that has nothing but the image
 * and the project, and no network.
 */
export async function unpackImage(
  archive: string,
  tree: string,
): Promise<(project: string, args: readonly string[]) => void> {
  const image = await openArchive(archive);
  mkdirSync(tree);
  const layers = await buffer((await flattenImage(image)).tar);
  execFileSync('tar', ['-x', '--no-same-owner', '-C', tree], { input: layers });
  const { entrypoint, env } = image.config;
  const variables = env.flatMap((one) => ['--setenv', ...(one.split('=', 2) as [string, string])]);
  const jail = ['--unshare-all', '--clearenv', '--bind', tree, '/', '--proc', '/proc', '--dev', '/dev'];
  return (project, args) => {
    const work = ['--tmpfs', '/tmp', '--bind', project, '/mnt', '--chdir', '/mnt'];
    execFileSync('/usr/bin/bwrap', [...jail, ...variables, ...work, '--', ...entrypoint, ...args], {
      stdio: 'pipe',
    });
  };
}
