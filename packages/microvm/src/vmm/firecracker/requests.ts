import * as z from 'zod';

/** A path as the VMM sees it in its jail. */
const path = z.string().min(1).max(4095);
const driveId = z.string().regex(/^[A-Za-z0-9_]{1,64}$/);

const tokenBucket = z.strictObject({
  /** The most tokens (bytes or operations) that the bucket holds. */
  size: z.int().min(1),
  /** Time in which an empty bucket is full again, ms. */
  refill_time: z.int().min(1),
});
/** At most so many bytes and operations in a time; what is left out is not limited. */
const rateLimiter = z.strictObject({ bandwidth: tokenBucket.optional(), ops: tokenBucket.optional() });

interface Route<Body extends z.ZodType> {
  readonly method: 'PUT' | 'PATCH';
  /** `{drive_id}` and `{iface_id}` stand for the body's field of this name, which Firecracker wants in both places. */
  readonly path: string;
  readonly body: Body;
}
const put = <Body extends z.ZodType>(path: string, body: Body): Route<Body> => ({
  method: 'PUT',
  path,
  body,
});
const patch = <Body extends z.ZodType>(path: string, body: Body): Route<Body> => ({
  method: 'PATCH',
  path,
  body,
});

/**
 * Every request that changes a Firecracker process, with the fields that Fumehood sends. Firecracker refuses a field that its
 * version does not know, so nothing is sent that is not needed.
 */
export const routes = {
  logger: put('/logger', z.strictObject({ log_path: path, level: z.enum(['Error', 'Warning', 'Info']) })),
  metrics: put('/metrics', z.strictObject({ metrics_path: path })),
  machine: put(
    '/machine-config',
    z.strictObject({
      vcpu_count: z.int().min(1).max(32),
      mem_size_mib: z.int().min(1),
      smt: z.literal(false),
      track_dirty_pages: z.literal(false),
    }),
  ),
  bootSource: put(
    '/boot-source',
    z.strictObject({ kernel_image_path: path, initrd_path: path, boot_args: z.string().max(2048) }),
  ),
  drive: put(
    '/drives/{drive_id}',
    z.strictObject({
      drive_id: driveId,
      path_on_host: path,
      /** The guest's root is its initramfs. */
      is_root_device: z.literal(false),
      is_read_only: z.boolean(),
      cache_type: z.literal('Unsafe'),
      io_engine: z.literal('Sync'),
      rate_limiter: rateLimiter.optional(),
    }),
  ),
  /** Before a resume: the guest sees another file of any size. */
  changeDrive: patch(
    '/drives/{drive_id}',
    z.strictObject({ drive_id: driveId, path_on_host: path, rate_limiter: rateLimiter.optional() }),
  ),
  /** The guest dials port P of the host, which listens on the socket `<uds_path>_P`. */
  vsock: put('/vsock', z.strictObject({ guest_cid: z.int().min(3).max(4_294_967_294), uds_path: path })),
  /** The tap is opened by its name in the namespace of the VMM. A snapshot remembers this name. */
  networkInterface: put(
    '/network-interfaces/{iface_id}',
    z.strictObject({
      iface_id: z.literal('network'),
      host_dev_name: z.string().min(1).max(15),
      guest_mac: z.string().regex(/^([\da-f]{2}:){5}[\da-f]{2}$/),
    }),
  ),
  entropy: put('/entropy', z.strictObject({ rate_limiter: rateLimiter.optional() })),
  action: put('/actions', z.strictObject({ action_type: z.enum(['InstanceStart', 'FlushMetrics']) })),
  state: patch('/vm', z.strictObject({ state: z.enum(['Paused', 'Resumed']) })),
  /** Of a paused VM: two files, the second as large as the guest's memory. */
  saveSnapshot: put(
    '/snapshot/create',
    z.strictObject({ snapshot_type: z.literal('Full'), snapshot_path: path, mem_file_path: path }),
  ),
  /** Before anything but logger and metrics is set. The VM stays paused. A snapshot that is refused ends the process. */
  loadSnapshot: put(
    '/snapshot/load',
    z.strictObject({
      snapshot_path: path,
      mem_backend: z.strictObject({ backend_type: z.literal('File'), backend_path: path }),
      resume_vm: z.literal(false),
    }),
  ),
} as const;

type Routes = typeof routes;
export type RequestName = keyof Routes;
export type RequestBody<Name extends RequestName> = z.infer<Routes[Name]['body']>;
