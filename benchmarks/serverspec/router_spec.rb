# The router's reservations, and what is answered from here.
require_relative 'spec_helper'

EXPECTED['guests'].each do |guest|
  # clause network.reservation
  describe file('/etc/mgmt-dnsmasq/hosts.dhcp') do
    its(:content) { should include "#{guest['mac']},id:*,#{guest['address']}," }
  end

  describe guest['fqdn'] do
    let(:resolver) { Resolv::DNS.new(nameserver: [EXPECTED['router']['dns']]) }

    # clause network.dns
    it 'leads to the VM, as its aliases do' do
      [guest['fqdn'], *guest['aliases']].each do |name|
        expect(resolver.getaddresses(name).map(&:to_s)).to eq [guest['address']]
      end
    end

    it('is where its address leads') { expect(resolver.getname(guest['address']).to_s).to eq guest['fqdn'] }

    # clause network.reachable
    it 'answers SSH and its services' do
      expect(TCPSocket.open(guest['address'], 22) { |socket| socket.read(4) }).to eq 'SSH-'
      guest['services'].flat_map { |one| one['tcp'] }.each { |number| TCPSocket.open(guest['address'], number).close }
    end

    it 'says that it is healthy' do
      guest['services'].map { |one| one['health'] }.compact.each do |address|
        url = URI(address)
        answer = Net::HTTP.start(guest['address'], url.port) { |http| http.get(url.path, 'Host' => url.host) }
        expect(answer.code).to eq '200'
      end
    end
  end
end
