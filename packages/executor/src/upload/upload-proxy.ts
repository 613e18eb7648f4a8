import { chmod } from 'node:fs/promises';
import {
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { listenOnSocket, provenSocket, socketOf } from '@fumehood/base';

/** An open proxy: the only server that the upload client can reach. */
export interface UploadProxy {
  close(): Promise<void>;
}

const routes = /^\/\.executors\/(scip|lsif)\/upload(\?|$)/;
/** Headers that describe one connection and are not forwarded. */
const hopHeaders = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'host'];

/**
 * Listens on a socket in a directory that is bound into the client's sandbox, and forwards requests for the upload routes to the
 * configured instance; every other request is answered with 403. Adds `headers`, which name the job; the client sends its
 * credential itself. Calls `onAnswer` with the status of each answer, or with null when the instance is unreachable.
 */
export async function openUploadProxy(
  socketPath: string,
  instanceUrl: string,
  headers: Readonly<Record<string, string>>,
  onAnswer: (status: number | null) => void,
): Promise<UploadProxy> {
  const server = createServer((request, response) => {
    if (!routes.test(request.url ?? '')) {
      response.writeHead(403).end('only the upload routes are reachable from here');
      return;
    }
    forward(request, response, instanceUrl, headers, onAnswer);
  });
  await listenOnSocket(server, socketPath);
  await chmod(socketPath, 0o660); // the client runs with another uid and our gid
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  instanceUrl: string,
  headers: Readonly<Record<string, string>>,
  onAnswer: (status: number | null) => void,
): void {
  const forwarded: OutgoingHttpHeaders = { ...request.headers, ...headers };
  for (const name of hopHeaders) delete forwarded[name];
  const unreachable = (why: string) => {
    onAnswer(null);
    response.writeHead(502).end(`could not reach the instance: ${why}`);
  };
  let forwardedRequest: ClientRequest;
  try {
    forwardedRequest = sendTo(instanceUrl, request, forwarded);
  } catch (error) {
    unreachable((error as Error).message);
    return;
  }
  forwardedRequest.once('response', (answer) => {
    onAnswer(answer.statusCode ?? null);
    const answerHeaders = { ...answer.headers };
    for (const name of hopHeaders) delete answerHeaders[name];
    response.writeHead(answer.statusCode ?? 502, answerHeaders);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  forwardedRequest.on('error', (error) => {
    // After an answer, or when the client has closed the connection, the error does not mean that the instance is unreachable.
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    unreachable(error.message);
  });
  request.on('error', () => forwardedRequest.destroy());
  response.on('close', () => forwardedRequest.destroy());
  request.pipe(forwardedRequest);
}

/** Opens the request to the instance. The client's credential is in its headers, so a socket has to be proved. Errors: `instance_unproved`. */
function sendTo(
  instanceUrl: string,
  { method, url: path = '/' }: IncomingMessage,
  headers: OutgoingHttpHeaders,
): ClientRequest {
  const socket = socketOf(instanceUrl);
  if (socket !== null) return httpRequest({ socketPath: provenSocket(socket), path, method, headers });
  const url = new URL(`${instanceUrl.replace(/\/+$/, '')}${path}`);
  return (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method, headers });
}
