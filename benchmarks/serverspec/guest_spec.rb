# A guest from inside.
require_relative 'spec_helper'

guest = EXPECTED['guests'].find { |one| one['name'] == HOST }

describe 'identity' do
  # clause identity.guest-unique
  # What must be unique is written down for all hosts together and compared at the end (run.rb).
  it('has its own hostname') { expect(command('uname -n').stdout.strip).to eq guest['name'] }
  it 'has an identity' do
    machine_id = file('/etc/machine-id').content.strip
    key = file('/etc/ssh/ssh_host_ed25519_key.pub').content.split[1]
    File.write(File.join(ENV.fetch('SEEN'), HOST), "#{machine_id} #{key}\n")
    expect(machine_id.length).to eq 32
  end

  # clause identity.mac-seen
  it('sees its MAC') { expect(file('/sys/class/net/eth0/address').content.strip).to eq guest['mac'] }
end

# clause network.address
describe interface('eth0') do
  it { should have_ipv4_address("#{guest['address']}/#{guest['prefix']}") }
end

describe command('ip -4 addr show scope global') do
  its(:stdout) { should match(/inet #{Regexp.escape(guest['address'])}.* dynamic / ) }
end

# clause network.core-router
describe default_gateway do
  its(:ipaddress) { should eq guest['gateway'] }
end

describe file('/run/systemd/resolve/resolv.conf') do
  its(:content) { should match(/^nameserver #{Regexp.escape(EXPECTED['router']['dns'])}$/) }
end

# clause network.no-core-services
[[53, 'udp'], [53, 'tcp'], [67, 'udp']].each do |number, protocol|
  describe port(number) do
    it { should_not be_listening.on('0.0.0.0').with(protocol) }
  end
end

describe linux_kernel_parameter('net.ipv4.ip_forward') do
  its(:value) { should eq 0 }
end

describe command('sudo -n sh -c "if command -v nft >/dev/null; then nft list ruleset; fi"') do
  its(:stdout) { should_not match(/masquerade|dnat/) }
end

# clause separation.no-tenants
%w[/etc/hosts /proc/mounts].each do |path|
  describe file(path) do
    its(:content) { should_not match(/hv02/) }
  end
end

# clause service.healthy
guest['services'].each do |wanted|
  if wanted['unit'].end_with?('.service')
    describe service(wanted['unit']) do
      it { should be_running }
    end
  end

  describe command("systemctl show -p UnitFileState --value #{wanted['unit']}") do
    its(:stdout) { should_not match(/masked/) }
  end

  wanted['tcp'].each do |number|
    describe port(number) do
      it { should be_listening }
    end
  end

  wanted['udp'].each do |number|
    describe port(number) do
      it { should be_listening.with('udp') }
    end
  end
end
