import { realpathSync } from 'node:fs';
import { trustedUids, untrustedPart } from '../local/ownership.ts';
import { spawnFailed } from './errors.ts';
import type { SpawnRequest } from './spawn.ts';

/** Text as it is, or a pattern that has to match all of it. */
export type Allowed = string | RegExp;

/**
 * A command that an unprivileged child may have run by its helper. Each one is listed as a whole, with its arguments, variables and
 * binds, because programs such as git run others when an argument, a variable or a file in the right place tells them to.
 */
export interface AllowedCommand {
  /** The path of the program inside the sandbox. */
  readonly program: string;
  readonly args: readonly Allowed[];
  /** The variables that may be set. Default: none. */
  readonly env?: Readonly<Record<string, Allowed>>;
  readonly binds: readonly AllowedBind[];
}

/** A bind that a command may have. */
export interface AllowedBind {
  readonly target: string;
  readonly mode: 'ro' | 'rw';
  /** The file, or a directory above the source. */
  readonly from: string;
}

/**
 * Returns the request with the real paths of its binds. Errors: `spawn_failed` when no command allows it, or when somebody besides
 * root and the user of this process could have changed the program.
 */
export function allowedRequest(request: SpawnRequest, commands: readonly AllowedCommand[]): SpawnRequest {
  const refused = (why: string) => spawnFailed(request.label, why);
  const named = commands.filter(({ program }) => program === request.program);
  if (named.length === 0) throw refused(`${request.program} is not one of the allowed programs`);
  const fitting = named.filter((command) => matchesAll(request.args, command.args));
  if (fitting.length === 0)
    throw refused(`${request.program} may not run with the arguments ${JSON.stringify(request.args)}`);
  const variables = Object.entries(request.env ?? {});
  const command = fitting.find(({ env = {} }) =>
    variables.every(([name, value]) => Object.hasOwn(env, name) && matches(value, env[name] as Allowed)),
  );
  if (!command) throw refused(`it may not have the variables ${variables.map(([name]) => name).join(', ')}`);
  const binds = (request.binds ?? []).map((bind) => {
    const source = realPath(request.label, bind.source);
    const { target, mode } = bind;
    const isAllowed = command.binds.some(
      (allowed) => allowed.target === target && allowed.mode === mode && isWithin(source, allowed.from),
    );
    if (!isAllowed) throw refused(`it may not see ${bind.source} at ${target} (${mode})`);
    return { ...bind, source };
  });
  const program = binds.find(({ target }) => target === request.program)?.source ?? request.program;
  const changeable = untrustedPart(realPath(request.label, program), trustedUids());
  if (changeable !== null) throw refused(`another user could have changed ${changeable}`);
  return { ...request, binds };
}

function matchesAll(texts: readonly string[], allowed: readonly Allowed[]): boolean {
  return texts.length === allowed.length && texts.every((text, at) => matches(text, allowed[at] as Allowed));
}

function matches(text: string, allowed: Allowed): boolean {
  if (typeof allowed === 'string') return text === allowed;
  return allowed.exec(text)?.[0] === text;
}

function isWithin(source: string, from: string): boolean {
  const root = realpathSync(from);
  return source === root || source.startsWith(`${root}/`);
}

function realPath(label: string, path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw spawnFailed(label, (error as Error).message);
  }
}
