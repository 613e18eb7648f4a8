const ownGuest = 'the guest image is built from Debian on this machine';
const noDocker = 'no job runs in Docker on this machine: remove it';
const noMetrics =
  'an upstream instance gets the number of running jobs alone; scrape the node exporter itself';
const always = 'nothing of a job is kept, and the executor cleans up after each of them by itself';

/** Variables of upstream's executors that this executor does not act on, with what to do instead. */
const withoutEffect: Readonly<Record<string, string>> = {
  EXECUTOR_QUEUE_POLL_INTERVAL: 'the executor asks an upstream instance once a second',
  EXECUTOR_NUM_TOTAL_JOBS:
    'the executor runs until it is stopped: have your supervisor send SIGTERM, which lets jobs finish',
  EXECUTOR_MAX_ACTIVE_TIME:
    'the executor runs until it is stopped: have your supervisor send SIGTERM, which lets jobs finish',
  EXECUTOR_CLEANUP_TASK_INTERVAL: always,
  EXECUTOR_KEEP_WORKSPACES: always,
  EXECUTOR_FIRECRACKER_IMAGE: ownGuest,
  EXECUTOR_FIRECRACKER_KERNEL_IMAGE: ownGuest,
  EXECUTOR_FIRECRACKER_SANDBOX_IMAGE: ownGuest,
  EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS: 'a virtual machine has no network',
  EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS: 'a virtual machine has no network',
  EXECUTOR_VM_STARTUP_SCRIPT_PATH:
    'no script runs in a virtual machine before a job: put what it does into the image',
  EXECUTOR_VM_PREFIX: 'executors of one machine are told apart by their state directories (FUMEHOOD_STATE)',
  EXECUTOR_DOCKER_HOST_MOUNT_PATH: noDocker,
  EXECUTOR_DOCKER_ADDITIONAL_MOUNTS:
    'nothing of this machine can be mounted into a virtual machine: put it into the image',
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: noDocker,
  NODE_EXPORTER_URL: noMetrics,
  DOCKER_REGISTRY_NODE_EXPORTER_URL: noMetrics,
  SRC_LOG_LEVEL: 'the log has a level in each line: filter it where it is read',
  SRC_LOG_FORMAT: 'the log has a JSON object in each line',
};

/** Returns what to do instead of setting a variable that this executor does not act on; null for one that means nothing to it. */
export function insteadOf(name: string): string | null {
  const instead = withoutEffect[name];
  if (instead !== undefined) return instead;
  if (name.startsWith('EXECUTOR_KUBERNETES_'))
    return 'this executor does not run jobs in Kubernetes: run it on a machine, and remove the variable';
  return name.startsWith('EXECUTOR_')
    ? 'no executor knows a variable of this name: check how it is spelled'
    : null;
}
