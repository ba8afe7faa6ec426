# The router's reservations, and what is answered from here.
require_relative 'spec_helper'

# MAC and address of each.
def reservations
  file('/etc/mgmt-dnsmasq/hosts.dhcp').content.scan(/^([0-9a-f:]{17}),(?:id:\*,)?([\d.]+),/)
end

def leases
  file('/var/lib/misc/dnsmasq.leases').content.scan(/^\d+ ([0-9a-f:]{17}) (\S+) /)
end

describe 'The router' do
  before(:all) { @reservations, @leases = reservations, leases }

  # clause identity.no-strangers: knows_every_mac_on_the_segment
  it('leases no address to a stranger') { expect(@leases.map(&:first) - EXPECTED['known_macs']).to eq [] }

  EXPECTED['guests'].each do |guest|
    # clause network.reservation: router_reserves_the_address_for_the_mac, router_reserves_it_for_nobody_else
    it "reserves the address of #{guest['name']} for its MAC" do
      expect(@reservations.select { |mac, _| mac == guest['mac'] }.map(&:last).uniq).to eq [guest['address']]
    end

    it "reserves it for nobody else than #{guest['name']}" do
      expect(@reservations.select { |_, address| address == guest['address'] }.map(&:first)).to eq [guest['mac']]
    end

    # clause network.address: no_lease_stands_in_its_way
    it "has no lease in the way of #{guest['name']}" do
      expect(@leases.select { |mac, address| (mac == guest['mac']) ^ (address == guest['address']) }).to eq []
    end
  end
end

EXPECTED['guests'].each do |guest|
  describe guest['fqdn'] do
    let(:resolver) do
      Resolv::DNS.new(nameserver_port: [EXPECTED['router'].values_at('dns', 'port')]).tap { |made| made.timeouts = 2 }
    end

    # clause network.dns: name_resolves_to_the_address, aliases_resolve_to_the_address, address_resolves_to_the_name
    it('leads to the VM') { expect(resolver.getaddresses(guest['fqdn']).map(&:to_s)).to eq [guest['address']] }

    guest['aliases'].each do |name|
      it("is where #{name} leads, too") { expect(resolver.getaddresses(name).map(&:to_s)).to eq [guest['address']] }
    end

    it('is where its address leads') { expect(resolver.getname(guest['address']).to_s).to eq guest['fqdn'] }

    # clause network.reachable: ssh_answers_at_the_name
    it 'answers SSH' do
      resolver.getaddresses(guest['fqdn']).each do |address|
        expect(TCPSocket.open(address.to_s, guest['ssh']['port']) { |socket| socket.read(4) }).to eq 'SSH-'
      end
    end

    # clause service.healthy: ports_take_connections, health_address_answers
    it 'takes connections to its services' do
      guest['services'].flat_map { |one| one['tcp'] }.each { |number| TCPSocket.open(guest['address'], number).close }
    end

    guest['services'].map { |one| one['health'] }.compact.each do |address|
      it "says that it is healthy at #{address}" do
        url = URI(address)
        answer = Net::HTTP.start(guest['address'], url.port) { |http| http.get(url.path, 'Host' => url.host) }
        expect(answer.code).to eq '200'
      end
    end
  end
end
