import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { flattenImage, openArchive } from '@fumehood/oci';

/**
 * Runs the entrypoint of an image on a project, in a sandbox that has nothing but the image and the project, and no network. `root` is a directory
 * for the image's files.
 */
export async function runImage(
  archive: string,
  root: string,
  project: string,
  args: readonly string[],
): Promise<string> {
  const image = await openArchive(archive);
  const tree = join(root, 'tree');
  mkdirSync(tree);
  const layers = await buffer((await flattenImage(image)).tar);
  execFileSync('tar', ['-x', '--no-same-owner', '-C', tree], { input: layers });
  const { entrypoint, env } = image.config;
  const variables = env.flatMap((one) => ['--setenv', ...(one.split('=', 2) as [string, string])]);
  const jail = ['--unshare-all', '--clearenv', '--bind', tree, '/', '--proc', '/proc', '--dev', '/dev'];
  const work = ['--tmpfs', '/tmp', '--bind', project, '/mnt', '--chdir', '/mnt'];
  return execFileSync('/usr/bin/bwrap', [...jail, ...variables, ...work, '--', ...entrypoint, ...args], {
    stdio: 'pipe',
    encoding: 'utf8',
  });
}
