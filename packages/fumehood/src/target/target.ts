import { Option } from 'commander';
import { usage } from '../errors.ts';
import { instanceAddress } from './address.ts';
import { loginFile, readLogin } from './login.ts';
import { accessToken, readAccessToken } from './secret.ts';

/** The options of a command that choose its instance. */
export interface TargetOptions {
  readonly url?: string;
  readonly tokenStdin?: boolean;
}

/** Which instance a command uses, and with which access token. */
export interface Target {
  /** Null: the instance that runs in the state directory. */
  readonly url: string | null;
  /** Null: the token of the state directory. */
  readonly token: string | null;
}

/** Makes the option `--url`. */
export const urlOption = () =>
  new Option('--url <url>', 'use the instance at this address; also FUMEHOOD_URL');

/** Makes the options of every command that is a client of an instance. */
export function targetOptions(): Option[] {
  return [urlOption(), new Option('--token-stdin', 'read the access token from stdin; also FUMEHOOD_TOKEN')];
}

/**
 * Chooses the instance: that of `--url`, else of FUMEHOOD_URL, else of the state directory if FUMEHOOD_STATE names it, else of the
 * login, else of the usual state directory. The token is that of stdin, of FUMEHOOD_TOKEN, or of the login at the same address: a
 * stored token goes to no other instance. Errors: `usage`, `login_exposed`, `login_invalid`.
 */
export async function chooseTarget(
  options: TargetOptions,
  environment: NodeJS.ProcessEnv,
  ask: (text: string) => void,
): Promise<Target> {
  const { FUMEHOOD_URL, FUMEHOOD_TOKEN, FUMEHOOD_STATE } = environment;
  if (FUMEHOOD_URL === '')
    throw usage('FUMEHOOD_URL is empty', 'Set it to the address of an instance, or unset it.');
  const given = options.url ?? FUMEHOOD_URL;
  const login =
    given === undefined && FUMEHOOD_STATE !== undefined ? null : readLogin(loginFile(environment));
  const url = given === undefined ? (login?.url ?? null) : instanceAddress(given);
  const stored = login !== null && login.url === url ? login.token : null;
  const token = options.tokenStdin
    ? await readAccessToken(process.stdin, ask)
    : FUMEHOOD_TOKEN === undefined
      ? stored
      : accessToken(FUMEHOOD_TOKEN, 'FUMEHOOD_TOKEN');
  if (url !== null && token === null)
    throw usage(
      `there is no access token for ${url}`,
      `Store one with \`fumehood login ${url}\`, or set FUMEHOOD_TOKEN.`,
    );
  return { url, token };
}
