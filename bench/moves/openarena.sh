#!/bin/sh -e
# The guest of `bench -- suspend|resume|migrate --service openarena`: Debian's server of OpenArena, the Quake 3 engine of the papers, is its
# first program's only child. It is compiled code, where the engine would translate its own at run time (vm_game 0: native is not packaged).
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends openarena-server
apt-get clean
cat > /usr/local/sbin/bench-openarena <<'PROGRAM'
#!/bin/sh
mkdir -p /var/lib/bench
export HOME=/var/lib/bench
ip link set lo up
/usr/games/openarena-server +set dedicated 1 +set net_ip 0.0.0.0 +set net_port 27960 +set g_log "" +map oa_dm1 </dev/null >/dev/console 2>&1
echo "bench: the server has ended: $?" >/dev/console
sleep infinity
PROGRAM
chmod 755 /usr/local/sbin/bench-openarena
