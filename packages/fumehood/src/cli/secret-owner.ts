import type { SecretOwner } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { accessName } from './options.ts';

/** The options that choose whose a secret is; without one it is the user's own. */
export interface SecretOwnerOptions {
  readonly org?: string | undefined;
  readonly global?: boolean | undefined;
}

/** Adds the options that choose whose a secret is. */
export function addSecretOwnerOptions(command: Command): Command {
  return command
    .addOption(new Option('--org <name>', 'of an organisation, for its batch changes').argParser(accessName))
    .addOption(new Option('--global', 'of the whole instance, for all batch changes').conflicts('org'));
}

/** Returns whose a secret is. */
export function secretOwner({ org, global }: SecretOwnerOptions): SecretOwner {
  return { organisation: org, global };
}
