import {
  addLogEntryRequestSchema,
  appendLogQuerySchema,
  updateLogEntryRequestSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import { overflowPauseMs, streamBytesMax } from '../../logs/limits.ts';
import { addEntry, appendLog, changeEntry } from '../../logs/logs.ts';
import type { EntryFacts } from '../../logs/sql/entries.ts';
import { bytesOf, checkInput, checkJobBody, readBytes, readJson } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { bodyLimits } from '../limits.ts';
import { queueParam } from '../queues.ts';

/** `POST /.executors/queue/{queue}/addExecutionLogEntry`, `…/updateExecutionLogEntry` and `…/appendLog`, for a job's token. */
export async function logRoutes(scope: FastifyInstance, { db, clock, jobAuth }: RouteDeps): Promise<void> {
  requireQueueLease(scope, jobAuth, true);
  const path = (name: string) => `/.executors/queue/${queueParam}/${name}`;

  await scope.register(async (json) => {
    readJson(json, bodyLimits.logEntry);
    json.post(path('addExecutionLogEntry'), async (request, reply) => {
      const lease = leaseOf(request);
      const body = checkJobBody(addLogEntryRequestSchema, request.body, lease);
      const entry = await addEntry(db, lease, body.fumehood?.entry ?? null, factsOf(body), body.out);
      return reply.type('application/json').send(String(entry));
    });
    json.post(path('updateExecutionLogEntry'), async (request, reply) => {
      const lease = leaseOf(request);
      const body = checkJobBody(updateLogEntryRequestSchema, request.body, lease);
      await changeEntry(db, lease, body.entryId, factsOf(body), body.out);
      return reply.code(204).send();
    });
  });

  await scope.register(async (bytes) => {
    readBytes(bytes, bodyLimits.logOutput);
    bytes.post(path('appendLog'), async (request, reply) => {
      const lease = leaseOf(request);
      const { entry, stream, offset } = checkInput(appendLogQuerySchema, request.query);
      const next = await appendLog(db, lease, { entry, stream, offset, data: bytesOf(request) });
      if (next > streamBytesMax) await clock.sleep(overflowPauseMs);
      return reply.send({ offset: next });
    });
  });
}

function factsOf(body: Omit<z.output<typeof addLogEntryRequestSchema>, 'fumehood'>): EntryFacts {
  return {
    key: body.key,
    command: body.command ?? [],
    startTime: body.startTime,
    exitCode: body.exitCode ?? null,
    durationMs: body.durationMs ?? null,
  };
}
