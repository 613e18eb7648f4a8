import type { IncomingHttpHeaders } from 'node:http';
import type { AllowedCommand, Spawn } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { backendFailed } from './errors.ts';

export interface BackendRequest {
  /** The bare repository on this host. */
  readonly directory: string;
  readonly service: 'info/refs' | 'git-upload-pack';
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer | null;
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal;
}

export interface BackendAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Buffer>;
}

const root = '/srv';
/** Longest head of an answer, in bytes. */
const maxHeadBytes = 16_384;
/** Longest run of git for one request. */
const timeMs = 3_600_000;
/** CGI variables that git reads, by the headers that set them (RFC 3875, 4.1.18). */
const variableOfHeader = {
  'content-type': 'CONTENT_TYPE',
  'git-protocol': 'HTTP_GIT_PROTOCOL',
} as const;

const program = '/usr/bin/git';
const args = ['http-backend'];
/** The headers' values come from clients. */
const anyValue = /[^\0]*/;

/** Returns what the helper has to allow for `runBackend` on repositories below this directory. */
export const backendCommand = (directory: string): AllowedCommand => ({
  program,
  args,
  env: {
    ...gitEnvironment,
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: /\/repository\/(info\/refs|git-upload-pack)/,
    REQUEST_METHOD: /GET|POST/,
    QUERY_STRING: /(service=git-upload-pack)?/,
    CONTENT_LENGTH: /\d+/,
    ...Object.fromEntries(Object.values(variableOfHeader).map((name) => [name, anyValue])),
  },
  binds: [{ target: `${root}/repository`, mode: 'ro', from: directory }],
});

/**
 * Runs `git http-backend` under the Spawn profile, in which it sees this one repository alone. Killed when the client is gone.
 * Errors: `git_failed`, `spawn_failed`.
 */
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
  for (const [header, variable] of Object.entries(variableOfHeader)) {
    const value = headers[header];
    if (typeof value === 'string' && value.length < 1000) env[variable] = value;
  }
  const process = await spawn({
    label: 'git http-backend',
    program,
    args,
    env,
    binds: [{ source: directory, target: `${root}/repository`, mode: 'ro' }],
    limits: { timeMs },
  });
  const kill = () => process.kill();
  gone.addEventListener('abort', kill, { once: true });
  if (gone.aborted) kill(); // the client left while git was being started
  process.stderr.resume();
  process.stdin.end(body ?? undefined);
  try {
    return await readAnswer(process.stdout);
  } catch (error) {
    kill();
    throw error;
  }
}

/** Reads the head of a CGI answer; returns the body as a stream. */
async function readAnswer(stdout: AsyncIterable<Buffer>): Promise<BackendAnswer> {
  const chunks = stdout[Symbol.asyncIterator]();
  let received = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const { done, value } = await chunks.next();
    if (done || received.length > maxHeadBytes) throw backendFailed('its answer has no head');
    received = Buffer.concat([received, value]);
    end = received.indexOf('\r\n\r\n');
  }
  const headers: Record<string, string> = {};
  for (const line of received.toString('latin1', 0, end).split('\r\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const { status = '200', ...others } = headers;
  const rest = received.subarray(end + 4);
  const body = async function* () {
    yield rest;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  return { status: Number.parseInt(status, 10), headers: others, body: body() };
}
