import type { IncomingHttpHeaders } from 'node:http';
import type { Spawn } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { backendFailed } from './errors.ts';

export interface BackendRequest {
  /** Of the bare repository on this host. */
  readonly directory: string;
  readonly service: 'info/refs' | 'git-upload-pack';
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer | null;
  /** Aborted when nobody reads the answer any more. */
  readonly gone: AbortSignal;
}

export interface BackendAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Buffer>;
}

const root = '/srv';
const headMax = 16_384;
const timeMs = 3_600_000;
/** CGI variables that git reads, by the headers that they come from (RFC 3875, 4.1.18). */
const passed = {
  'content-type': 'CONTENT_TYPE',
  'git-protocol': 'HTTP_GIT_PROTOCOL',
} as const;

/** Has `git http-backend` answer, under the Spawn profile, with one repository to be seen. Errors: `git_failed`, `spawn_failed`. */
export async function runBackend(spawn: Spawn, request: BackendRequest): Promise<BackendAnswer> {
  const { directory, service, headers, body, gone } = request;
  const env: Record<string, string> = {
    ...gitEnvironment,
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: `/repository/${service}`,
    REQUEST_METHOD: body ? 'POST' : 'GET',
    QUERY_STRING: service === 'info/refs' ? 'service=git-upload-pack' : '',
    ...(body && { CONTENT_LENGTH: String(body.length) }),
  };
  for (const [header, variable] of Object.entries(passed)) {
    const value = headers[header];
    if (typeof value === 'string' && value.length < 1000) env[variable] = value;
  }
  const process = await spawn({
    label: 'git http-backend',
    program: '/usr/bin/git',
    args: ['http-backend'],
    env,
    binds: [{ source: directory, target: `${root}/repository`, mode: 'ro' }],
    limits: { timeMs },
  });
  const kill = () => process.kill();
  gone.addEventListener('abort', kill, { once: true });
  if (gone.aborted) kill(); // while it was started
  process.stderr.resume();
  process.stdin.end(body ?? undefined);
  try {
    return await readAnswer(process.stdout);
  } catch (error) {
    kill();
    throw error;
  }
}

/** The head of a CGI answer, then its body as it comes. */
async function readAnswer(stdout: AsyncIterable<Buffer>): Promise<BackendAnswer> {
  const chunks = stdout[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const { done, value } = await chunks.next();
    if (done || held.length > headMax) throw backendFailed('its answer has no head');
    held = Buffer.concat([held, value]);
    end = held.indexOf('\r\n\r\n');
  }
  const headers: Record<string, string> = {};
  for (const line of held.toString('latin1', 0, end).split('\r\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const { status = '200', ...others } = headers;
  const rest = held.subarray(end + 4);
  const body = async function* () {
    yield rest;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  return { status: Number.parseInt(status, 10), headers: others, body: body() };
}
