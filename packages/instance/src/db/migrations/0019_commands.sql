-- What people see of a job has its image and the beginning of its command: the whole of it can be megabytes.
create function beginning_of_command(payload jsonb) returns text language sql immutable
  return left((
    select coalesce(string_agg(left(word, 200), ' ' order by place), '')
    from jsonb_array_elements_text(coalesce(
      payload -> 'argv', payload #> '{indexer,argv}', payload #> '{indexer,commands}', '[]'
    )) with ordinality as words (word, place)
    where place <= 200
  ), 200);

create or replace function job_record(job jobs, last attempts) returns jsonb language sql stable return
  jsonb_build_object(
    'id', (job).id, 'queue', (job).queue, 'state', (job).state, 'attempt', (job).attempt,
    'tenant', (job).tenant, 'priority', (job).priority,
    'accept', (job).accept, 'arch', (job).arch, 'labels', (job).labels, 'needsNative', (job).needs_native,
    'image', coalesce((job).payload ->> 'image', (job).payload #>> '{indexer,image}', ''),
    'command', beginning_of_command((job).payload),
    'resources', jsonb_build_object(
      'cpus', (job).cpus, 'memoryMiB', (job).memory_mib, 'scratchMiB', (job).scratch_mib),
    'executor', coalesce((job).executor, (last).executor),
    'tier', (last).tier, 'vmm', (last).vmm, 'exitCode', (last).exit_code,
    'failure', case when (job).reason is not null then
      jsonb_build_object('reason', (job).reason, 'message', coalesce((job).message, '')) end,
    'cancelRequested', (job).cancel_requested,
    'waiting', null,
    'guest', (last).guest, 'inspection', (last).inspection, 'leftOver', (last).left_over,
    'uploadId', (job).upload_id,
    'queuedAt', iso((job).queued_at), 'processAfter', iso((job).process_after),
    'startedAt', iso((job).started_at), 'finishedAt', iso((job).finished_at)
  );
