import { type AllowedCommand, removalCommands } from '@fumehood/base';
import { gitCommands } from '@fumehood/git';
import { skopeoCommand } from '@fumehood/oci';
import { diskMakerCommand } from '../disk-maker/make-disk.ts';
import { uploadCommands } from '../upload/upload.ts';
import type { HelperConfig } from './config.ts';
import { sandboxNode } from '../sandbox-node.ts';

/** Returns the commands that the agent may have run on a tenant's bytes. `directory` is above all of the agent's directories. */
export function agentCommands(
  { node, diskMaker, src }: Pick<HelperConfig['runtime'], 'node' | 'diskMaker' | 'src'>,
  directory: string,
): AllowedCommand[] {
  return [
    ...gitCommands(directory, []),
    diskMakerCommand({ node, script: diskMaker }, directory),
    skopeoCommand({ source: node, target: sandboxNode }, directory),
    ...uploadCommands({ node, script: src }, directory),
    ...removalCommands(directory),
  ];
}
