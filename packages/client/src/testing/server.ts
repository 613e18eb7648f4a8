import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JobRecord } from '@fumehood/protocol';

/** An HTTP server that plays an instance: it gives one answer to each request, and repeats the last answer. */
export class TestServer {
  readonly requests: IncomingMessage[] = [];
  url = '';
  readonly #server: Server;

  constructor(...answers: ((response: ServerResponse, request: IncomingMessage) => void)[]) {
    this.#server = createServer((request, response) => {
      this.requests.push(request);
      answers.at(Math.min(this.requests.length, answers.length) - 1)?.(response, request);
    });
  }

  async start(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Returns an answer with a JSON body. */
export const json =
  (body: unknown, status = 200) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** Returns a job's record in the given state. */
export function jobRecord(state: JobRecord['state']): JobRecord {
  return {
    id: 1,
    queue: 'runs',
    state,
    attempt: 1,
    accept: ['vm-emulated'],
    executor: null,
    tier: null,
    vmm: null,
    exitCode: null,
    failure: null,
    tenant: 'admin',
    priority: 0,
    arch: null,
    labels: [],
    needsNative: true,
    needsVersion: 1,
    image: '',
    command: '',
    resources: { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 },
    cancelRequested: false,
    processAfter: null,
    waiting: null,
    guest: null,
    inspection: null,
    leftOver: null,
    uploadId: null,
    queuedAt: '2026-01-01T00:00:00Z',
    startedAt: null,
    finishedAt: null,
  };
}
