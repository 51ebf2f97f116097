# Program: sends two bare acknowledgements from argv's server address and port to the guest's address and each of its ports.
# See reset-connections.ts. Node has no raw sockets; perl-base is in every Debian.
use strict;
use warnings;
use Socket qw(PF_INET SOCK_RAW inet_aton sockaddr_in);

use constant TCP => 6;    # protocol number, which Debian's perl-base does not export by default

my ($server, $server_port, $guest, @guest_ports) = @ARGV;
my ($from, $to) = (inet_aton($server), inet_aton($guest));
socket(my $raw, PF_INET, SOCK_RAW, 255) or die "raw socket: $!\n";    # IPPROTO_RAW: we write the header, raw(7)

sub checksum {
  my ($bytes) = @_;
  my $sum = unpack("%32n*", length($bytes) % 2 ? "$bytes\0" : $bytes);
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  return ~$sum & 0xffff;
}

for my $port (@guest_ports) {
  for my $sequence (0, 2**31) {
    my @fields = ($server_port, $port, $sequence, 0, 5 << 4, 0x10, 1024);    # RFC 9293 section 3.1: ACK alone
    my $pseudo = $from . $to . pack("n n", TCP, 20);
    my $segment = pack("n n N N C C n n n", @fields, checksum($pseudo . pack("n n N N C C n n n", @fields, 0, 0)), 0);
    my $header = pack("C C n n n C C n a4 a4", 0x45, 0, 40, 0, 0, 64, TCP, 0, $from, $to);    # the kernel fills its sum
    send($raw, $header . $segment, 0, sockaddr_in(0, $to)) or die "send to $guest: $!\n";
  }
}
