# A guest from inside.
require_relative 'spec_helper'

guest = EXPECTED['guests'].find { |one| one['name'] == HOST }
template = EXPECTED['templates'].find { |one| one['vmid'] == guest['template'] }
tenant = Regexp.new(EXPECTED['tenant_pattern'])

# clause template.fedora: lets_the_automation_user_in
describe command('id -un') do
  its(:stdout) { should match(/^#{template['user']}$/) }
end

# clause identity.guest-unique: has_its_own_hostname, shares_no_machine_id, shares_no_ssh_host_key
describe command('uname -n') do
  its(:stdout) { should match(/^#{guest['name']}(\.|$)/) }
end

# What must be unique is written down for all hosts together and compared at the end (run.rb).
describe command('cat /etc/machine-id; cut -d" " -f2 /etc/ssh/ssh_host_*_key.pub') do
  it 'is an identity' do
    File.write(File.join(ENV.fetch('SEEN'), HOST), subject.stdout)
    expect(subject.stdout).to match(/\A\h{32}\nAAAA/)
  end
end

# clause identity.mac-seen: sees_its_mac
# clause network.address: holds_exactly_its_address, has_it_by_dhcp
describe command('ip -j addr show') do
  let(:links) { JSON.parse(subject.stdout).reject { |link| link['flags'].include?('LOOPBACK') } }
  let(:held) { links.flat_map { |link| link['addr_info'] }.select { |one| one['family'] == 'inet' } }

  it('shows its MAC') { expect(links.map { |link| link['address'] }).to include guest['mac'] }

  it 'shows its address alone' do
    expect(held.map { |one| one.values_at('local', 'prefixlen') }).to eq [guest.values_at('address', 'prefix')]
  end

  it('shows an address by DHCP') { expect(held.map { |one| one['dynamic'] }).to all(be true) }
end

# clause network.reservation: router_offers_it_the_address
describe command('networkctl status --all') do
  its(:stdout) { should include "#{guest['address']} (DHCP4 via #{EXPECTED['dhcp_server']})" }
end

# clause network.core-router: routes_through_the_core_router, resolves_through_the_core_router
# clause separation.no-tenants: guest_needs_no_tenant_hypervisor
describe command('ip -4 route show') do
  it 'has the core router alone as gateway' do
    expect(subject.stdout.scan(/^default via (\S+)/).flatten.uniq).to eq [guest['gateway']]
  end

  its(:stdout) { should_not match(tenant) }
end

describe file('/run/systemd/resolve/resolv.conf') do
  it('names the core router alone') { expect(subject.content.scan(/^nameserver (\S+)$/).flatten).to eq [EXPECTED['router']['dns']] }
  its(:content) { should_not match(tenant) }
end

# clause network.core-router: its_gateway_is_no_vm_here
describe command("ping -q -c 1 -W 1 #{guest['gateway']} >/dev/null && ip -j -4 neigh show #{guest['gateway']}") do
  it 'shows no VM behind the gateway' do
    expect(EXPECTED['guests'].map { |one| one['mac'] }).not_to include JSON.parse(subject.stdout).first.fetch('lladdr')
  end
end

# clause network.no-core-services: listens_for_neither_dns_nor_dhcp
# clause service.healthy: ports_are_open_to_others
describe command('ss -H -l -n -t -u') do
  let(:open) do
    rows = subject.stdout.lines.map(&:split).reject { |row| row[4].match?(/\A(127\.|\[::1\])/) }
    rows.map { |row| [row[0], row[4].split(':').last.to_i] }
  end

  it('shows no core service') { expect(open.map(&:last) & EXPECTED['core_ports']).to eq [] }

  guest['services'].each do |wanted|
    it("shows the ports of #{wanted['unit']}") do
      expect(open).to include(*wanted['tcp'].map { |number| ['tcp', number] }, *wanted['udp'].map { |number| ['udp', number] })
    end
  end
end

# clause network.no-core-services: forwards_no_packets, translates_no_addresses
describe command('grep -Hs . /proc/sys/net/ipv[46]/conf/*/forwarding') do
  it('shows no forwarding') { expect(subject.stdout.lines.grep_v(%r{/conf/(default|lo)/|:0$})).to eq [] }
end

describe command('sudo -n sh -c "for tool in nft iptables-save; do if command -v \$tool >/dev/null; then case \$tool in nft) nft list ruleset;; *) \$tool;; esac || exit 1; fi; done"') do
  its(:stdout) { should_not match(/\b(masquerade|snat|dnat)\b/i) }
  its(:exit_status) { should eq 0 }
end

# clause separation.no-tenants: guest_needs_no_tenant_hypervisor
%w[/etc/hosts /etc/fstab /proc/mounts].each do |path|
  describe command("if test -e #{path}; then sed '/^#/d' #{path}; fi") do
    its(:stdout) { should_not match(tenant) }
  end
end

# clause service.healthy: unit_is_active, unit_starts_with_the_guest
guest['services'].each do |wanted|
  describe command("systemctl show -p LoadState,ActiveState,UnitFileState,TriggeredBy #{wanted['unit']}") do
    let(:told) { subject.stdout.lines.to_h { |line| line.chomp.split('=', 2) } }

    it('shows an active unit') { expect(told.values_at('LoadState', 'ActiveState')).to eq %w[loaded active] }

    it 'shows a unit that starts with the guest' do
      expect(!['disabled', 'masked', ''].include?(told['UnitFileState']) || !told['TriggeredBy'].to_s.empty?).to be true
    end
  end
end
