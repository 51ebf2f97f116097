#!/bin/sh -e
# The guest of `bench -- suspend|resume|migrate`: its first program writes to its root all the time, and answers over UDP.
cat > /usr/local/sbin/bench-service <<'PROGRAM'
#!/usr/bin/perl
# 7001: the guest's clock, in ms, out of memory. 7002: the same once a file of the root was written, synced.
# Meanwhile 16 KiB are appended to a log and synced ten times a second. System calls by their numbers on x86-64: perl-base has
# no modules for them.
use strict;
$SIG{CHLD} = 'IGNORE';
my ($fdatasync, $clock_gettime) = (75, 228);

sub clock_ms {
  my $time = "\0" x 16;
  syscall($clock_gettime, 0, $time);
  my ($seconds, $nanoseconds) = unpack('q2', $time);
  return $seconds * 1000 + int($nanoseconds / 1e6);
}

sub write_root {
  my ($how, $path, $content) = @_;
  open(my $file, $how, $path) or return;
  syswrite($file, $content);
  syscall($fdatasync, fileno($file));
  close($file);
}

sub serve {
  my ($port, $prepare) = @_;
  my $socket;
  socket($socket, 2, 2, 17) && bind($socket, pack('S n x12', 2, $port)) or die "bench: $!";
  for (;;) {
    my $from = recv($socket, my $asked, 1500, 0);
    next unless defined $from;
    $prepare->();
    send($socket, $asked . ' ' . clock_ms(), 0, $from);
  }
}

if (fork == 0) {
  for (;;) {
    write_root('>>', '/var/bench.log', 'x' x 16384);
    unlink('/var/bench.log') if -s '/var/bench.log' > 32 * 1024 * 1024;
    select(undef, undef, undef, 0.1);
  }
}
if (fork == 0) { serve(7002, sub { write_root('>', '/var/bench.root', clock_ms()) }) }
serve(7001, sub { });
PROGRAM
chmod 755 /usr/local/sbin/bench-service
