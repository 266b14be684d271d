"""The templates by themselves: valid, and what they promise about the machine is in them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.template import (
    CLOUD_INIT,
    FOLDER,
    TEMPLATE,
    VALUES,
    cloud_config,
    properties,
    rendered,
    template,
)

pytest.importorskip("cfnlint")

MOST_USER_DATA_BYTES = 16 * 1024  # AWS; others take more


def test_the_template_is_clean() -> None:
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    linted = [str(cfn_lint), "--include-checks", "I", "--", str(TEMPLATE)]
    done = subprocess.run(linted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_user_data_is_the_file_for_all_providers() -> None:
    text, own = properties("Machine")["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert text == CLOUD_INIT.read_text()
    assert {*template()["Parameters"], *own} >= set(VALUES)
    assert len(rendered().encode()) < MOST_USER_DATA_BYTES


def test_user_data_is_a_cloud_config_with_all_that_a_machine_needs() -> None:
    assert rendered().startswith("#cloud-config\n")
    found = cloud_config()
    assert {"docker.io", "docker-compose", "nftables", "git"} <= set(found["packages"])
    assert "unattended-upgrades" in found["packages"]
    assert found["ntp"]["enabled"]
    assert found["swap"]["filename"]
    assert found["ssh_pwauth"] is False
    assert "v0.1.0" in found["runcmd"][0]
    machine = dict(line.split("=", 1) for line in found["write_files"][0]["content"].splitlines())
    assert machine == {
        "SITE": "shop.example.com",
        "SEED": "true",
        "SSH_FROM": "203.0.113.7/32",
        "DATA_DISK": "/dev/vdb",
        "BUCKET": "capsules",
        "BUCKET_REGION": "eu-central-1",
    }
    read = (FOLDER / "machine" / "apply.sh").read_text()
    assert all(f"${name}" in read for name in machine if name != "SSH_FROM")


def test_user_data_passes_the_validator_of_cloud_init(tmp_path: Path) -> None:
    if shutil.which("cloud-init") is None:
        pytest.skip("There is no cloud-init here: only the keys were looked at, not its schema.")
    file = tmp_path / "user-data"
    file.write_text(rendered())
    asked = ["cloud-init", "schema", "--config-file", str(file)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_is_in_user_data_or_among_the_parameters() -> None:
    words = ("password", "secret", "token", "key")
    names = [*template()["Parameters"], *cloud_config()["write_files"][0]["content"].split("\n")]
    assert [name for name in names if any(word in name.lower() for word in words)] == ["KeyPair"]


def test_the_only_open_port_is_443_and_ssh_by_choice() -> None:
    (shop,) = properties("Firewall")["SecurityGroupIngress"]
    assert (shop["FromPort"], shop["ToPort"]) == (443, 443)
    ssh = template()["Resources"]["Ssh"]
    assert ssh["Condition"] == "WithSsh"
    assert ssh["Properties"]["CidrIp"] == {"Ref": "SshFrom"}
    assert (ssh["Properties"]["FromPort"], ssh["Properties"]["ToPort"]) == (22, 22)


def test_the_machine_has_its_address_before_it_starts() -> None:
    assert properties("RoutesOfSubnet") == {
        "SubnetId": {"Ref": "Subnet"},
        "RouteTableId": {"Ref": "Routes"},
    }
    association = properties("AddressOfInterface")
    assert association["NetworkInterfaceId"] == {"Ref": "Interface"}
    (interface,) = properties("Machine")["NetworkInterfaces"]
    assert interface["NetworkInterfaceId"] == {"Ref": "Interface"}
    assert properties("Interface")["GroupSet"] == [{"Ref": "Firewall"}]
    begins_after = template()["Resources"]["Machine"]["DependsOn"]
    assert set(begins_after) == {"AddressOfInterface", "RouteToInternet", "RoutesOfSubnet"}


def test_the_machine_gives_credentials_to_holders_of_tokens_only() -> None:
    assert properties("Machine")["MetadataOptions"]["HttpTokens"] == "required"


def test_disks_are_encrypted_and_the_data_outlives_the_stack() -> None:
    (root,) = properties("Machine")["BlockDeviceMappings"]
    assert root["Ebs"]["Encrypted"] is properties("Data")["Encrypted"] is True
    resources = template()["Resources"]
    kept = {
        name: found["DeletionPolicy"]
        for name, found in resources.items()
        if "DeletionPolicy" in found
    }
    assert kept == {"Data": "Snapshot", "Capsules": "Retain", "CapsulesByTlsOnly": "Retain"}
    assert all(
        found.get("UpdateReplacePolicy") == found.get("DeletionPolicy")
        for found in resources.values()
    )


def test_the_bucket_is_private_versioned_encrypted_and_by_tls_only() -> None:
    bucket = properties("Capsules")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]
    (denied,) = properties("CapsulesByTlsOnly")["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_machine_may_do_nothing_but_sessions_and_capsules() -> None:
    role = properties("MachineRole")
    assert "ManagedPolicyArns" not in role
    allowed = [
        (each["Action"], each["Resource"])
        for policy in role["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
    ]
    (sessions, everywhere), (listing, bucket), (objects, capsules) = allowed
    assert everywhere == "*"
    assert {action.partition(":")[0] for action in sessions} == {"ssm", "ssmmessages"}
    assert (listing, bucket) == ("s3:ListBucket", {"Fn::GetAtt": "Capsules.Arn"})
    assert "s3:DeleteObjectVersion" not in objects
    assert "s3:*" not in objects
    assert capsules == {"Fn::Sub": "${Capsules.Arn}/capsules/*"}
