# Runs as the first process of the nested machine, in the root of the machine that it runs on: brings up what systemd and udev do
# on a host, runs the command with its output on the second serial port, and writes the exit code to the third.
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
groupadd -f kvm
chgrp kvm /dev/kvm
chmod 660 /dev/kvm
chmod 666 /dev/net/tun

stty -F /dev/ttyS1 raw
# Through a pipe, so that the command does not take the port for a terminal.
{ sh /command.sh < /dev/null; echo $? > /run/exit-code; } 2>&1 | cat > /dev/ttyS1
stty -F /dev/ttyS1 raw # waits until everything is written
cat /run/exit-code > /dev/ttyS2
stty -F /dev/ttyS2 raw
echo b > /proc/sysrq-trigger
